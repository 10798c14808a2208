"""The ``objective`` block of reinforcement learning: slates, rewards, the guard, the executor."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from seqrec.config.block import Block
from seqrec.config.objective import ObjectiveConfig

MANY = ("function", "model")
"""Rewards of which a recipe may name several."""


class SlatesConfig(Block):
    num_slates: int = Field(default=8, gt=1)
    """Slates that are drawn for each history: a group."""
    slate_size: int = Field(default=3, gt=0)
    """Titles of a slate."""
    sampler: Literal["autoregressive", "plackett_luce"] = "autoregressive"
    """Each title appended to the history before the next is drawn, or all drawn after it."""
    temperature: float = Field(default=1.0, gt=0)
    """What logits are divided by."""
    plan: bool = False
    """Before each slate the model says what kind of titles come next: a value of every feature
    that it learned to say before its title. The reward is of the slate."""

    @model_validator(mode="after")
    def _a_plan_is_followed_by_plackett_luce(self) -> "SlatesConfig":
        if self.plan and self.sampler != "plackett_luce":
            raise ValueError(
                "plan: true goes with sampler plackett_luce, not "
                f"{self.sampler}: a plan precedes the whole slate"
            )
        return self


class ReinforceConfig(Block):
    name: Literal["reinforce"]
    """Rewards as they are, without a baseline."""


class RLOOConfig(Block):
    name: Literal["rloo"]
    """Against the mean reward of the other slates of the group."""


class ClippedConfig(Block):
    ppo_epochs: int = Field(default=1, gt=0)
    """Times that a batch of slates is learned from."""
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    """How far below 1 the ratio of new to old probability may fall and still be learned from."""
    clip_high: float = Field(default=0.2, gt=0)
    """How far above."""
    is_sequence_level: bool = False
    """One ratio a slate instead of one a title."""


class GRPOConfig(ClippedConfig):
    name: Literal["grpo"] = "grpo"
    """Against the group's mean, over the group's standard deviation."""


class DrGRPOConfig(ClippedConfig):
    name: Literal["dr_grpo"]
    """Against the group's mean."""


AlgorithmConfig = Annotated[
    GRPOConfig | DrGRPOConfig | RLOOConfig | ReinforceConfig, Field(discriminator="name")
]


class RewardConfig(Block):
    weight: float = 1.0
    """What it counts in the sum of rewards."""


class HitConfig(RewardConfig):
    name: Literal["hit"]
    """Share of a slate's titles that the user went on to watch, inside the training period."""


class RatingConfig(RewardConfig):
    name: Literal["rating"]
    """How the user went on to rate them, from 0 to 1; 0 of titles never watched."""


class DiversityConfig(RewardConfig):
    name: Literal["diversity"]
    """How little the genres of a slate's titles overlap."""


class NoveltyConfig(RewardConfig):
    name: Literal["novelty"]
    """How rare a slate's titles are in training."""


class FreshnessConfig(RewardConfig):
    name: Literal["freshness"]
    """How new a slate's titles are."""
    column: str = "year"
    """Of the items, which grows with freshness."""


class FormatConfig(RewardConfig):
    name: Literal["format"]
    """Share of a slate's titles that keep to the plan; goes with slates.plan."""


class ModelRewardConfig(RewardConfig):
    name: Literal["model"]
    """How probable it is that the user likes the titles, by a reward model: their mean."""
    path: str
    """Run or model folder of seqrec train reward-model."""


class FunctionConfig(RewardConfig):
    name: Literal["function"]
    """A function of one's own: from histories and slates of item ids to a number a slate."""
    function: str = Field(pattern=r"^[\w.]+:\w+$")
    """Where it is, as ``my_module:my_reward``."""
    max_seconds: float = Field(default=10.0, gt=0)
    """Longest that a call may take."""


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
    max_kl_nats: float = Field(default=0.2, gt=0)
    """Largest divergence from the reference, in nats a title."""
    metric: str = Field(default="ndcg@10", pattern=r"^(recall|hit_rate|ndcg|mrr)@[1-9]\d*$")
    """Validation metric that may not fall; not the reward."""
    tolerance: float = Field(default=0.03, gt=0, lt=1)
    """How far it may fall, relative to the reference's."""
    max_rollbacks: int = Field(default=2, ge=0)
    """Returns to good weights after which it goes on; at the next one it stops."""
    check_every: int = Field(default=20, gt=0)
    """Updates between two looks."""
    kl_coef: float = Field(default=0.1, ge=0)
    """What a nat of divergence costs."""
    target_kl_nats: float | None = Field(default=None, gt=0)
    """Divergence that the penalty adapts to; null: the penalty is fixed."""

    @model_validator(mode="after")
    def _a_penalty_of_nothing_cannot_adapt(self) -> "GuardConfig":
        if self.target_kl_nats is not None and not self.kl_coef:
            raise ValueError("target_kl_nats: needs a kl_coef above 0, which it multiplies")
        return self


class InProcessConfig(Block):
    name: Literal["in_process"] = "in_process"
    """All roles in one process."""
    num_workers: int = Field(default=1, gt=0)
    """Parts that a batch is drawn in, one after the other."""


class RayConfig(Block):
    name: Literal["ray"]
    """Rollout workers and reward as Ray actors."""
    num_workers: int = Field(default=2, gt=0)
    """Rollout workers."""
    num_threads: int = Field(default=1, gt=0)
    """Threads of each."""
    address: str | None = None
    """Of a running cluster; null: one is started on this machine."""


ExecutorConfig = Annotated[InProcessConfig | RayConfig, Field(discriminator="name")]


class RLConfig(ObjectiveConfig):
    has_epochs: ClassVar[bool] = False

    name: Literal["rl"]
    """Generate, score, guard, update."""
    algorithm: AlgorithmConfig = GRPOConfig()
    """How advantages are formed and learned from."""
    slates: SlatesConfig = SlatesConfig()
    """What is asked of the policy."""
    rewards: list[RewardsConfig] = Field(min_length=1)
    """What a slate is worth: the weighted sum."""
    guard: GuardConfig = GuardConfig()
    """How far the policy may go."""
    executor: ExecutorConfig = InProcessConfig()
    """Where roles run."""
    num_updates: int = Field(default=200, gt=0)
    """Updates."""
    num_prompts: int = Field(default=32, gt=0)
    """Histories of an update."""
    max_later: int = Field(default=10, gt=0)
    """Interactions after a history, inside the training part, that rewards may know."""
    held_out_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the users, by a hash of their ids, that are never asked: the guard looks at them.
    A reward model that leaves out no fewer has not met them either."""
    num_held_out_prompts: int = Field(default=256, gt=0)
    """Histories of theirs that it looks at."""
    max_staleness: int = Field(default=0, ge=0)
    """Updates that slates may be older than the policy, drawn while it learns from others; 0: one
    after the other, the only way that can be repeated exactly."""
    entropy_bonus: float = Field(default=0.0, ge=0)
    """What a nat of entropy is worth."""

    @model_validator(mode="after")
    def _a_reward_stands_once(self) -> "RLConfig":
        names = [reward.name for reward in self.rewards]
        repeated = {name for name in names if names.count(name) > 1 and name not in MANY}
        if repeated:
            raise ValueError(f"rewards: {', '.join(sorted(repeated))} stands there twice")
        return self

    @model_validator(mode="after")
    def _who_keeps_to_a_plan_has_one(self) -> "RLConfig":
        if not self.slates.plan and any(reward.name == "format" for reward in self.rewards):
            raise ValueError("rewards: format is how a plan is kept to; set slates.plan: true")
        return self

    @model_validator(mode="after")
    def _old_slates_are_corrected_for(self) -> "RLConfig":
        if self.max_staleness and not isinstance(self.algorithm, ClippedConfig):
            raise ValueError(
                f"max_staleness {self.max_staleness} goes with algorithm grpo or dr_grpo, whose "
                f"ratio corrects for it, not with {self.algorithm.name}"
            )
        return self
