"""Reinforcement learning (RL): a policy's slates are rewarded, and a guard limits its KL."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch

from seqrec.builders.pretrained import START_KEY
from seqrec.builders.reinforcement import (
    build_executor,
    build_learner,
    build_sampler,
    build_source,
    build_validation,
    check_policy,
    ranking_metric,
)
from seqrec.builders.rewards import build_scorer, find_reward_folder
from seqrec.config.recipe import Recipe
from seqrec.config.rl import (
    AlgorithmConfig,
    DrGRPOConfig,
    ExpectedConfig,
    GRPOConfig,
    ModelRewardConfig,
    ReinforceConfig,
    RLConfig,
    RLOOConfig,
)
from seqrec.data.item_columns import genre_matrix
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import protocol_line
from seqrec.losses.policy import (
    centred_advantages,
    clipped_policy_gradient,
    expected_reward,
    leave_one_out_advantages,
    policy_gradient,
    share_clipped,
    standardized_advantages,
)
from seqrec.models.weights import folder_fingerprint
from seqrec.objectives.frontier import measure_frontier
from seqrec.objectives.interface import MODEL_FOLDER, CatalogObjective, RunOutcome
from seqrec.objectives.start import open_start
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.recommender import Recommender
from seqrec.reports.timeline import stage_seconds, timeline, whole_seconds
from seqrec.rl.controller import Controller, Outcome
from seqrec.rl.executors import Executor
from seqrec.rl.guard import Guard, KLCoefficient
from seqrec.rl.learner import Algorithm
from seqrec.rl.prompts import HeldOutPrompts, PromptSource
from seqrec.rl.sampler import Sampler
from seqrec.rl.stage_log import EventLog, log_stage, read_events
from seqrec.rl.worker import Scorer
from seqrec.training.callbacks import ShouldStop
from seqrec.training.fit import FitResult, get_device
from seqrec.training.interrupts import EndingSignals
from seqrec.training.loaders import QueryLoader

EVENTS_FILE = "events.jsonl"
TIMELINE_FILE = "timeline.png"
RATING_REWARDS = ("rating", "model")
"""Rewards that read ratings: those after a history, or those in it."""


@dataclass
class RLObjective(CatalogObjective):
    """Trains a policy, starting from a trained model, on the rewards of its own slates."""

    source: PromptSource
    sampler: Sampler
    make_scorer: Callable[[], Scorer]
    """Makes the scorer, in whatever process it is called."""
    ranker: ModelRanker
    validation: QueryLoader
    outcome: Outcome | None = field(default=None, init=False)
    """Set by ``fit``."""

    @classmethod
    def get_sources(cls, recipe: Recipe) -> dict[str, Any]:
        rewards = get_config(recipe).rewards
        return {
            f"fingerprint_of {reward.path}": folder_fingerprint(find_reward_folder(reward))
            for reward in rewards
            if isinstance(reward, ModelRewardConfig)
        }

    @classmethod
    def check_start(cls, recipe: Recipe, start: Recommender) -> None:
        check_policy(get_config(recipe).slates, start, str(recipe.model.from_pretrained))

    @classmethod
    def build(cls, recipe: Recipe, prepared: PreparedData, rank: int = 0) -> Self:
        settings, trainer = get_config(recipe), recipe.trainer
        if recipe.model.from_pretrained is None:
            raise SeqRecError(f"objective rl starts from a trained model: {START_KEY}=RUN")
        torch.manual_seed(trainer.seed)
        start = open_start(recipe, prepared, cls.check_start)
        policy, events = start.trained, start.events
        assert policy is not None
        adapter = start.tune(recipe, policy)
        policy.to(get_device(trainer.accelerator))  # type: ignore[arg-type]
        reads_ratings = any(reward.name in RATING_REWARDS for reward in settings.rewards)
        histories = prepared.histories(["rating"] if reads_ratings else [])
        sampler = build_sampler(settings.slates, recipe.data.max_length, events)
        validation = build_validation(prepared, recipe.data.pool_rows, events)
        objective = cls(
            recipe,
            prepared,
            policy,
            start.tokenizer,
            histories.item_counts(prepared.num_items),
            settings.guard.metric,
            protocol_line(
                prepared,
                "validation",
                validation.num_queries,
                exclude_seen=True,
                **({"time_input": events.grammar.time_input} if events else {}),
            ),
            (),
            build_source(
                settings,
                prepared,
                histories,
                max_length=recipe.data.max_length,
                num_items=policy.num_learned,
                seed=trainer.seed,
            ),
            sampler,
            build_scorer(settings.rewards, prepared, start.coder),
            ModelRanker("policy", policy, start.tokens, events),
            validation,
        )
        objective.adapter = adapter
        return objective

    def before(self) -> None:
        """Do nothing: the controller judges the start, or resumes after that."""

    def build_executor(self) -> Executor:
        """Start rollout workers and reward, in this process or on Ray."""
        settings = get_config(self.recipe)
        return build_executor(
            settings, self.model, self.sampler, self.make_scorer, self.recipe.trainer.seed
        )

    def build_controller(
        self, folder: Path, executor: Executor, is_ending: Callable[[], bool] = lambda: False
    ) -> Controller:
        """Assemble all roles; each is an attribute that may be replaced before the run.

        Args:
            folder: of the run.
            executor: runs workers and scorer.
            is_ending: returns True when the run shall be saved and end.
        """
        settings, ranker = get_config(self.recipe), self.ranker
        guard = settings.guard
        return Controller(
            source=self.source,
            held_out=HeldOutPrompts(
                self.source.held_out(settings.num_held_out_prompts),
                partial(ranking_metric, ranker, self.validation, guard.metric),
                genre_matrix(self.prepared.items()),
            ),
            executor=executor,
            learner=build_learner(
                self.recipe,
                self.model,
                self.sampler,
                build_algorithm(settings.algorithm),
                entropy_bonus=settings.entropy_bonus,
            ),
            guard=Guard(
                max_kl_nats=guard.max_kl_nats,
                tolerance=guard.tolerance,
                metric=guard.metric,
                max_rollbacks=guard.max_rollbacks,
            ),
            kl_coef=KLCoefficient(guard.kl_coef, guard.target_kl_nats),
            log=EventLog(folder / EVENTS_FILE, partial(log_stage, self.tracker)),
            folder=folder,
            num_updates=settings.num_updates,
            check_every=guard.check_every,
            max_staleness=settings.max_staleness,
            is_ending=is_ending,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )

    def fit(self, folder: Path, should_stop: ShouldStop | None = None) -> FitResult:
        """Run the controller; if that fails, save the last good weights.

        SIGTERM and SIGHUP save the state after the update at work, and end the run.

        Raises:
            SeqRecError: a reward that fails, Ray is missing or fails; the message says where the
                last good weights are.
        """
        executor = self.build_executor()
        try:
            with EndingSignals() as signals:
                controller = self.build_controller(folder, executor, signals.is_ending)
                self.outcome = self._run(controller, folder)
        finally:
            executor.close()
        (folder / TIMELINE_FILE).write_bytes(timeline(read_events(folder / EVENTS_FILE)))
        return FitResult(None, 0, self.outcome.num_updates, has_validation=True)

    def _run(self, controller: Controller, folder: Path) -> Outcome:
        try:
            return controller.run()
        except SeqRecError as error:
            if not controller.good:
                raise
            controller.learner.load_state_dict(controller.good["learner"])
            self.save(folder / MODEL_FOLDER)
            raise SeqRecError(
                f"{error}; the last good weights are in {folder / MODEL_FOLDER}, and --resume "
                "continues from them"
            ) from error

    def after(self, folder: Path, fit: FitResult) -> RunOutcome:
        """Report the last good weights, which the controller left in the policy."""
        outcome, metric = self.outcome, self.selection_metric
        assert outcome is not None
        events, reward = read_events(folder / EVENTS_FILE), self.make_scorer().reward
        first = next(event for event in events if event["stage"] == "guard")
        seconds = {stage: round(took, 2) for stage, took in stage_seconds(events).items()}
        return RunOutcome(
            None,
            {metric: first["metric"]},
            {metric: outcome.metric},
            {
                "reason": outcome.reason,
                "users": {
                    "trained_on": len(self.source.users),
                    "held_out": len(self.source.held_out_users),
                    "too_short": self.source.num_too_short,
                },
                "rollbacks": outcome.rollbacks,
                "reward_before": first["reward"],
                "reward": outcome.reward,
                "kl_nats": outcome.kl_nats,
                **measure_frontier(self.recipe, self.prepared, self.source, reward, events, folder),
            },
            {"train_seconds": round(whole_seconds(events), 1), "stage_seconds": seconds},
        )

    def measure(self, folder: Path) -> dict[str, Any]:
        return {}


def get_config(recipe: Recipe) -> RLConfig:
    """Return the objective block, which must be that of RL."""
    assert recipe.objective.name == "rl"
    return recipe.objective


def build_algorithm(config: AlgorithmConfig) -> Algorithm:
    """Bind advantages, loss and passes of the algorithm that the settings name."""
    match config:
        case GRPOConfig() | DrGRPOConfig():
            bounds: dict[str, Any] = {
                "clip_low": config.clip_low,
                "clip_high": config.clip_high,
                "is_sequence_level": config.is_sequence_level,
            }
            return Algorithm(
                standardized_advantages if config.name == "grpo" else centred_advantages,
                partial(clipped_policy_gradient, **bounds),
                config.ppo_epochs,
                partial(share_clipped, **bounds),
            )
        case RLOOConfig():
            return Algorithm(leave_one_out_advantages, _without_ratio)
        case ReinforceConfig():
            return Algorithm(torch.clone, _without_ratio)
        case ExpectedConfig():
            return Algorithm(centred_advantages, _expected)


def _without_ratio(
    log_prob: torch.Tensor, old_log_prob: torch.Tensor, advantages: torch.Tensor
) -> torch.Tensor:
    return policy_gradient(log_prob, advantages)


def _expected(
    log_prob: torch.Tensor, old_log_prob: torch.Tensor, advantages: torch.Tensor
) -> torch.Tensor:
    return expected_reward(log_prob, advantages)
