"""Reinforcement learning by a recipe: the roles are built, the controller runs, a model is left."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from transformers import PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from seqrec.builders.pretrained import KEY, start_model
from seqrec.builders.reinforcement import _worker, build_learner
from seqrec.builders.rewards import build_scorer
from seqrec.config.recipe import Recipe
from seqrec.config.rl import (
    RayConfig,
    RLConfig,
)
from seqrec.data.catalog import write_items
from seqrec.data.feedback.holdout import holdout_levels
from seqrec.data.item_columns import genre_matrix
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import PER_QUERY, hits_among, protocol_line
from seqrec.models.folder import ITEMS_FILE, model_coder
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.outputs import METRICS_FILE
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.reports.timeline import stage_seconds, timeline, whole_seconds
from seqrec.rl.controller import Controller, Executor, HeldOutPrompts, Outcome
from seqrec.rl.executors import InProcess
from seqrec.rl.guard import Guard, KLCoefficient
from seqrec.rl.plans import Plans
from seqrec.rl.prompts import PromptSource
from seqrec.rl.ray_executor import OnRay
from seqrec.rl.sampler import Sampler
from seqrec.rl.stage_log import EventLog, read_events
from seqrec.rl.worker import Scorer
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.log import event_blocks
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.training.fit import device_of
from seqrec.training.loaders import QueryLoader

EVENTS_FILE = "events.jsonl"
TIMELINE_FILE = "timeline.png"
MODEL_FOLDER = "model"
OF_RATINGS = ("rating", "model")
"""Rewards that read ratings: those that followed, or those of the history."""


@dataclass(frozen=True)
class RLJob:
    """What a recipe of reinforcement learning and a prepared folder make together."""

    recipe: Recipe
    settings: RLConfig
    prepared: PreparedData
    policy: SeqRecForNextItem
    tokenizer: PreTrainedTokenizerFast
    tokens: ItemTokens
    item_counts: Int[np.ndarray, " I"]
    source: PromptSource
    sampler: Sampler
    make_scorer: Callable[[], Scorer]
    validation: QueryLoader

    @classmethod
    def of(cls, recipe: Recipe, prepared: PreparedData) -> "RLJob":
        """Everything that can be seen before anything is written.

        Raises:
            SeqRecError: a mistake in recipe, data or rewards.
        """
        settings = recipe.objective
        assert isinstance(settings, RLConfig)
        if recipe.model.from_pretrained is None:
            raise SeqRecError(f"objective rl starts from a trained model: {KEY}=RUN")
        torch.manual_seed(recipe.trainer.seed)
        item_ids = prepared.items()["item_id"].to_list()
        policy, tokenizer = start_model(recipe, prepared)
        policy.to(device_of(recipe.trainer.accelerator))  # type: ignore[arg-type]
        if not policy.config.causal:
            raise SeqRecError(f"{KEY}: slates need a model that reads forwards only")
        decoder, drawing = policy.config.backbone_config, settings.slates.sampler
        has_branches = drawing == "autoregressive" or settings.slates.plan
        if getattr(decoder, "relative_bias", False) and has_branches:
            raise SeqRecError(
                f"{KEY}: its relative_bias counts columns, in which several slates stand behind "
                "each other; draw objective.slates.sampler=plackett_luce, without a plan"
            )
        wants_ratings = any(reward.name in OF_RATINGS for reward in settings.rewards)
        histories = prepared.histories(["rating"] if wants_ratings else [])
        tokens = ItemTokens.of(tokenizer, item_ids)
        coder = model_coder(policy.config, prepared.items(), KEY)
        events = EventTokens.of(tokenizer, tokens, coder) if coder else None
        source = PromptSource(
            histories,
            holdout_levels(prepared.users()["user_id"]),
            num_prompts=settings.num_prompts,
            held_out_share=settings.held_out_share,
            max_later=settings.max_later,
            seed=recipe.trainer.seed,
        )
        sampler = Sampler(
            num_slates=settings.slates.num_slates,
            slate_size=settings.slates.slate_size,
            drawing=settings.slates.sampler,
            temperature=settings.slates.temperature,
            max_length=recipe.data.max_length,
            plans=Plans(events) if events else None,
        )
        _check_room(source, sampler, policy.num_learned)
        validation = QueryLoader(
            event_blocks(prepared, events.grammar) if events else prepared.blocks(),
            prepared.targets,
            memory_rows=recipe.data.pool_rows,
            events=events,
        )
        if not validation.num_queries:
            raise SeqRecError(
                f"{prepared.path}: nobody has a validation target under {prepared.split_by}, and "
                "the guard watches them; prepare with another --split-by"
            )
        return cls(
            recipe,
            settings,
            prepared,
            policy,
            tokenizer,
            tokens,
            histories.item_counts(prepared.num_items),
            source,
            sampler,
            build_scorer(settings.rewards, prepared, coder),
            validation,
        )

    def run(self, folder: Path) -> dict[str, Any]:
        """Learn in a folder, or go on with a run that was cut there, and leave a model.

        Returns:
            What ``metrics.json`` holds.

        Raises:
            SeqRecError: a reward that fails, Ray missing or refusing; it says where the last good
                weights are.
        """
        started = time.perf_counter()
        executor = build_executor(self)
        try:
            outcome = self._outcome(self.controller(folder, executor), folder)
        finally:
            executor.close()
        events = read_events(folder / EVENTS_FILE)
        (folder / TIMELINE_FILE).write_bytes(timeline(events))
        self._save(folder / MODEL_FOLDER)
        metric = self.settings.guard.metric
        first = next(event for event in events if event["stage"] == "guard")
        seconds = stage_seconds(events)
        num_queries = self.validation.num_queries
        metrics = {
            "objective": self.settings.name,
            "num_updates": outcome.num_updates,
            "reason": outcome.reason,
            "users": {
                "asked": len(self.source.users),
                "held_out": len(self.source.held_out_users),
                "too_short": self.source.num_too_short,
            },
            "rollbacks": outcome.rollbacks,
            "reward_before": first["reward"],
            "reward": outcome.reward,
            "kl_nats": outcome.kl_nats,
            "num_parameters": self.policy.num_parameters(),
            "selection_metric": metric,
            "validation_before": {metric: first["metric"]},
            "validation": {metric: outcome.metric},
            "protocol": protocol_line(
                self.prepared, "validation", num_queries, exclude_seen=True, **self._time_input()
            ),
            "stage_seconds": {stage: round(took, 2) for stage, took in seconds.items()},
            "train_seconds": round(whole_seconds(events), 1),
            "wall_seconds": round(time.perf_counter() - started, 1),
        }
        (folder / METRICS_FILE).write_text(json.dumps(metrics, indent=2) + "\n")
        return metrics

    def _outcome(self, controller: Controller, folder: Path) -> Outcome:
        """Of a run that ends well; of one that does not, the last good weights are left."""
        try:
            return controller.run()
        except SeqRecError as error:
            if not controller.good:
                raise
            controller.learner.load_state_dict(controller.good["learner"])
            self._save(folder / MODEL_FOLDER)
            raise SeqRecError(
                f"{error}; the last good weights are in {folder / MODEL_FOLDER}, and --resume goes "
                "on from where they were"
            ) from error

    def _save(self, folder: Path) -> None:
        """The policy as it is, as a model folder."""
        disable_progress_bar()
        self.policy.eval().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        write_items(self.prepared.items(), self.item_counts, folder / ITEMS_FILE)

    def _time_input(self) -> dict[str, str]:
        """What the policy is told of times, for the protocol, if it reads events."""
        events = self.validation.events
        return {} if events is None else {"time_input": events.grammar.time_input}

    def controller(self, folder: Path, executor: Executor) -> Controller:
        """All roles put together; each is an attribute that may be replaced before it runs."""
        settings = self.settings
        ranker = ModelRanker("policy", self.policy, self.tokens, self.validation.events)
        metric = partial(ranking_metric, ranker, self.validation, settings.guard.metric)
        return Controller(
            source=self.source,
            held_out=HeldOutPrompts(
                self.source.held_out(settings.num_held_out_prompts),
                metric,
                genre_matrix(self.prepared.items()),
            ),
            executor=executor,
            learner=build_learner(self.recipe, settings, self.policy, self.sampler),
            guard=Guard(
                max_kl_nats=settings.guard.max_kl_nats,
                tolerance=settings.guard.tolerance,
                metric=settings.guard.metric,
                max_rollbacks=settings.guard.max_rollbacks,
            ),
            kl_coef=KLCoefficient(settings.guard.kl_coef, settings.guard.target_kl_nats),
            log=EventLog(folder / EVENTS_FILE),
            folder=folder,
            num_updates=settings.num_updates,
            check_every=settings.guard.check_every,
            max_staleness=settings.max_staleness,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )


def build_executor(job: RLJob) -> Executor:
    """Where rollout workers and reward run."""
    make_worker = partial(_worker, job.policy.config, job.sampler, job.recipe.trainer.seed)
    executor, device = job.settings.executor, job.policy.device
    if isinstance(executor, RayConfig):
        return OnRay(
            make_worker,
            executor.num_workers,
            job.make_scorer,
            num_threads=executor.num_threads,
            address=executor.address,
        )
    workers = [make_worker(number, device) for number in range(executor.num_workers)]
    in_background = job.settings.max_staleness > 0
    return InProcess(workers, job.make_scorer(), in_background=in_background)


def ranking_metric(ranker: ModelRanker, validation: QueryLoader, key: str) -> float:
    """A metric of the policy as it is, over all validation queries; nothing is planned for it."""
    ranker.model.eval()
    name, _, k = key.partition("@")
    values = []
    for queries in validation.of_all_processes():
        ranked = ranker.rank(queries.histories, int(k))
        values.append(PER_QUERY[name](*hits_among(ranked.items, queries.targets), int(k)))
    return float(torch.cat(values).mean())


def _check_room(source: PromptSource, sampler: Sampler, num_items: int) -> None:
    """See that everybody has enough unseen titles for a slate, and histories room for it."""
    longest = source.most_seen()
    if num_items - longest < sampler.slate_size:
        raise SeqRecError(
            f"objective.slates.slate_size {sampler.slate_size}: somebody has seen {longest} of "
            f"{num_items} titles, which leaves fewer"
        )
    if sampler.max_length <= sampler.slate_size:
        raise SeqRecError(
            f"objective.slates.slate_size {sampler.slate_size}: the model reads "
            f"{sampler.max_length} titles, slate and history together"
        )
