"""The ``objective`` block of reinforcement learning: slates, rewards, the guard, the executor."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from seqrec.config.block import Block
from seqrec.config.limits import (
    MAX_EPOCHS,
    MAX_FACTOR,
    MAX_ITEMS,
    MAX_LIST,
    MAX_PROCESSES,
    MAX_ROWS,
    MAX_SECONDS,
)
from seqrec.config.objective_config import ObjectiveConfig

REPEATABLE = ("function", "model")
"""Rewards of which a recipe may name several."""


class SlatesConfig(Block):
    num_slates: int = Field(default=8, gt=1, le=MAX_LIST)
    """Slates sampled for each history; they form a group."""
    slate_size: int = Field(default=3, gt=0, le=MAX_LIST)
    """Items of a slate."""
    sampler: Literal["autoregressive", "plackett_luce", "most_probable"] = "autoregressive"
    """autoregressive: each item is appended to the history before the next is sampled.
    plackett_luce: all items are sampled, without replacement, from the distribution after the
    history. most_probable: nothing is sampled; the num_slates most probable items are slates of
    one, and slate_size counts for the guard alone."""
    temperature: float = Field(default=1.0, gt=0, le=MAX_FACTOR)
    """Divides the logits before sampling."""
    plan: bool = False
    """Before each slate the model predicts a plan: a value of every feature that it learned before
    the item. The slate is sampled given the plan; rewards score the slate."""

    @model_validator(mode="after")
    def _check_plan_sampler(self) -> "SlatesConfig":
        if self.plan and self.sampler != "plackett_luce":
            raise ValueError(
                "plan: true goes with sampler plackett_luce, not "
                f"{self.sampler}: a plan precedes the whole slate"
            )
        return self


class ReinforceConfig(Block):
    name: Literal["reinforce"]
    """The advantage is the reward, without a baseline."""


class RLOOConfig(Block):
    name: Literal["rloo"]
    """The advantage is the reward minus the mean reward of the group's other slates."""


class ExpectedConfig(Block):
    name: Literal["expected"]
    """The expected reward over the most probable items, without draws; goes with slates.sampler
    most_probable, and the advantage is the reward minus the group's mean."""


class ClippedConfig(Block):
    ppo_epochs: int = Field(default=1, gt=0, le=MAX_LIST)
    """Passes over each batch of slates."""
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    """Clipping of the ratio of new to old probability: its lower bound is 1 - clip_low."""
    clip_high: float = Field(default=0.2, gt=0, le=MAX_FACTOR)
    """Clipping of the ratio: its upper bound is 1 + clip_high."""
    is_sequence_level: bool = False
    """Use one ratio for a slate; false: one for each item."""


class GRPOConfig(ClippedConfig):
    name: Literal["grpo"] = "grpo"
    """The advantage is the reward minus the group's mean, divided by its standard deviation."""


class DrGRPOConfig(ClippedConfig):
    name: Literal["dr_grpo"]
    """The advantage is the reward minus the group's mean."""


AlgorithmConfig = Annotated[
    GRPOConfig | DrGRPOConfig | RLOOConfig | ReinforceConfig | ExpectedConfig,
    Field(discriminator="name"),
]


class RewardConfig(Block):
    weight: float = Field(default=1.0, ge=-MAX_FACTOR, le=MAX_FACTOR)
    """Weight of the reward in the sum of rewards."""


class HitConfig(RewardConfig):
    name: Literal["hit"]
    """Share of a slate's items among the user's next interactions of the training part."""


class RatingConfig(RewardConfig):
    name: Literal["rating"]
    """Mean of the user's next ratings of the items, from 0 to 1; 0 for items that do not follow."""


class DiversityConfig(RewardConfig):
    name: Literal["diversity"]
    """Mean difference between the genres of a slate's items."""


class NoveltyConfig(RewardConfig):
    name: Literal["novelty"]
    """Mean rarity of a slate's items in training, from 0 to 1."""


class FreshnessConfig(RewardConfig):
    name: Literal["freshness"]
    """Mean share of the catalog that is older than a slate's items."""
    column: str = "year"
    """Column of the items with a number that grows with freshness."""


class FormatConfig(RewardConfig):
    name: Literal["format"]
    """Share of the plan's feature values that a slate's items have; goes with slates.plan."""


class ModelRewardConfig(RewardConfig):
    name: Literal["model"]
    """Mean probability, by a reward model, that the user likes the items."""
    path: str
    """Run or model folder of seqrec train reward-model."""


class FunctionConfig(RewardConfig):
    name: Literal["function"]
    """A Python function of the user: from histories and slates of item ids to a number for each
    slate."""
    function: str = Field(pattern=r"^[\w.]+:\w+$")
    """Module and name of the function, as my_module:my_reward."""
    max_seconds: float = Field(default=10.0, gt=0, le=MAX_SECONDS)
    """Time limit of a call, in seconds."""


RewardsConfig = Annotated[
    HitConfig
    | RatingConfig
    | DiversityConfig
    | NoveltyConfig
    | FreshnessConfig
    | FormatConfig
    | ModelRewardConfig
    | FunctionConfig,
    Field(discriminator="name"),
]


class GuardConfig(Block):
    max_kl_nats: float = Field(default=0.2, gt=0, le=MAX_FACTOR)
    """Largest KL divergence from the reference, in nats per item."""
    metric: str = Field(default="ndcg@10", pattern=r"^(recall|hit_rate|ndcg|mrr)@[1-9]\d{0,5}$")
    """Validation metric that may not fall below the tolerance."""
    tolerance: float = Field(default=0.03, gt=0, lt=1)
    """Largest fall of the metric, as a share of the reference's value."""
    max_rollbacks: int = Field(default=2, ge=0, le=MAX_EPOCHS)
    """Rollbacks to the last good weights that a run survives; the next one ends it."""
    check_every: int = Field(default=20, gt=0, le=MAX_EPOCHS)
    """Updates between two checks of the guard."""
    kl_coef: float = Field(default=0.1, ge=0, le=MAX_FACTOR)
    """Penalty for a nat of KL divergence."""
    target_kl_nats: float | None = Field(default=None, gt=0, le=MAX_FACTOR)
    """KL divergence that kl_coef is adapted to, in nats per item; null: kl_coef is fixed."""

    @model_validator(mode="after")
    def _check_adaptive_penalty(self) -> "GuardConfig":
        if self.target_kl_nats is not None and not self.kl_coef:
            raise ValueError("target_kl_nats: needs a kl_coef above 0, which it multiplies")
        return self


class InProcessConfig(Block):
    name: Literal["in_process"] = "in_process"
    """All roles in one process."""
    num_workers: int = Field(default=1, gt=0, le=MAX_PROCESSES)
    """Parts of a batch, sampled one after the other."""


class RayConfig(Block):
    name: Literal["ray"]
    """Rollout workers and rewards as Ray actors."""
    num_workers: int = Field(default=2, gt=0, le=MAX_PROCESSES)
    """Rollout workers."""
    num_threads: int = Field(default=1, gt=0, le=MAX_PROCESSES)
    """Threads of each worker."""
    address: str | None = None
    """Address of a running Ray cluster; null: start one on this machine."""


ExecutorConfig = Annotated[InProcessConfig | RayConfig, Field(discriminator="name")]


class RLConfig(ObjectiveConfig):
    has_epochs: ClassVar[bool] = False

    name: Literal["rl"]
    """Reinforcement learning: sample slates, score them, update the policy, check the guard."""
    algorithm: AlgorithmConfig = GRPOConfig()
    """Computation of advantages and of the policy loss."""
    slates: SlatesConfig = SlatesConfig()
    """Slates that the policy samples."""
    rewards: list[RewardsConfig] = Field(min_length=1)
    """Rewards of a slate; their weighted sum is maximized."""
    guard: GuardConfig = GuardConfig()
    """Limits on the policy's distance from the reference."""
    executor: ExecutorConfig = InProcessConfig()
    """Processes that sample and score."""
    num_updates: int = Field(default=200, gt=0, le=MAX_EPOCHS)
    """Updates of the policy."""
    num_prompts: int = Field(default=32, gt=0, le=MAX_ROWS)
    """Histories in an update."""
    max_later: int = Field(default=10, gt=0, le=MAX_ITEMS)
    """Largest number of next interactions, inside the training part, that rewards read."""
    held_out_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the users, by a hash of their ids, whose histories are for the guard only. A reward
    model that holds out at least this share was not trained on them either."""
    num_held_out_prompts: int = Field(default=256, gt=0, le=MAX_ROWS)
    """Histories of held-out users that the guard checks."""
    max_staleness: int = Field(default=0, ge=0, le=MAX_LIST)
    """Updates that slates may lag behind the policy, because they are sampled during its updates;
    0: sampling and updates alternate, which alone is exactly reproducible."""
    entropy_bonus: float = Field(default=0.0, ge=0, le=MAX_FACTOR)
    """Bonus for a nat of entropy."""

    @model_validator(mode="after")
    def _check_repeated_rewards(self) -> "RLConfig":
        names = [reward.name for reward in self.rewards]
        repeated = {name for name in names if names.count(name) > 1 and name not in REPEATABLE}
        if repeated:
            raise ValueError(f"rewards: {', '.join(sorted(repeated))} is named twice; remove one")
        return self

    @model_validator(mode="after")
    def _check_format_reward(self) -> "RLConfig":
        if not self.slates.plan and any(reward.name == "format" for reward in self.rewards):
            raise ValueError("rewards: format needs a plan; set slates.plan: true")
        return self

    @model_validator(mode="after")
    def _check_most_probable(self) -> "RLConfig":
        sampler, algorithm = self.slates.sampler, self.algorithm.name
        if (sampler == "most_probable") != (algorithm == "expected"):
            raise ValueError(
                "algorithm expected and slates.sampler most_probable go together, not "
                f"{algorithm} and {sampler}"
            )
        return self

    @model_validator(mode="after")
    def _check_staleness(self) -> "RLConfig":
        if self.max_staleness and not isinstance(self.algorithm, ClippedConfig):
            raise ValueError(
                f"max_staleness {self.max_staleness} goes with algorithm grpo or dr_grpo, whose "
                f"ratio corrects for it, not with {self.algorithm.name}"
            )
        return self
