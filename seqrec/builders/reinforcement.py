"""Build the parts of reinforcement learning from a recipe: prompts, sampler, learner, executor."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from seqrec.builders.named_models import check_reads_items
from seqrec.builders.pretrained import START_KEY
from seqrec.config.recipe import Recipe
from seqrec.config.rl import RLConfig, SlatesConfig
from seqrec.data.feedback.holdout import holdout_levels
from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import PER_QUERY, find_hits
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.recommender import Recommender
from seqrec.rl.autoregressive import AutoregressiveSampler
from seqrec.rl.executors import Executor, InProcess
from seqrec.rl.learner import Algorithm, Learner, Reference
from seqrec.rl.most_probable import MostProbableSampler
from seqrec.rl.plackett_luce import PlackettLuceSampler
from seqrec.rl.plans import PlannedSampler
from seqrec.rl.prompts import PromptSource
from seqrec.rl.ray_executor import OnRay
from seqrec.rl.sampler import Sampler
from seqrec.rl.worker import RolloutWorker, Scorer
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.log import event_blocks
from seqrec.training.accounting import training_dtype
from seqrec.training.loaders import QueryLoader
from seqrec.training.optimizers import adamw

SAMPLERS: dict[str, type[AutoregressiveSampler] | type[PlackettLuceSampler]] = {
    "autoregressive": AutoregressiveSampler,
    "plackett_luce": PlackettLuceSampler,
    "most_probable": MostProbableSampler,
}


def build_sampler(config: SlatesConfig, max_length: int, events: EventTokens | None) -> Sampler:
    """Return the sampler of a recipe; with ``events`` it samples plans before slates."""
    size = config.num_slates, config.slate_size, config.temperature, max_length
    return PlannedSampler(*size, events) if events else SAMPLERS[config.sampler](*size)


def check_policy(slates: SlatesConfig, start: Recommender, path: str) -> None:
    """Refuse a start that cannot sample slates.

    Raises:
        SeqRecError: it reads events without planning, times, later items, or columns.
    """
    if slates.plan:
        check_plans(start, path)
    else:
        check_reads_items(start, path, "objective rl")
    config = start.model.config
    if not config.causal:
        raise SeqRecError(f"{START_KEY}: slates need a model that reads earlier items alone")
    shares_rows = slates.sampler == "autoregressive" or slates.plan
    if getattr(config.backbone_config, "relative_bias", False) and shares_rows:
        raise SeqRecError(
            f"{START_KEY}: its relative_bias counts columns, but several slates share a row; "
            "set objective.slates.sampler=plackett_luce, without a plan"
        )


def check_plans(start: Recommender, path: str) -> None:
    """Check that the start model can plan.

    Raises:
        SeqRecError: it has learned no feature before the item, or it reads times.
    """
    if start.events is None or not start.events.grammar.plan_indices:
        raise SeqRecError(
            f"objective.slates.plan: {START_KEY}={path} has learned no feature before the "
            "item; train it with one in data.events (place: before, is_learned: true)"
        )
    if start.events.grammar.times is not None:
        raise SeqRecError(
            f"{START_KEY}={path}: reads times, which objective rl does not; name a model without "
            "model.time_bias"
        )


def build_validation(
    prepared: PreparedData, memory_rows: int, events: EventTokens | None
) -> QueryLoader:
    """Build the validation queries of the guard.

    Raises:
        SeqRecError: there are none.
    """
    blocks = event_blocks(prepared, events.grammar) if events else prepared.blocks()
    loader = QueryLoader(blocks, prepared.targets, memory_rows=memory_rows, events=events)
    if not loader.num_queries:
        raise SeqRecError(
            f"{prepared.path}: no user has a validation target under {prepared.split_by}, "
            "which the guard needs; prepare with another --split-by"
        )
    return loader


def build_source(
    settings: RLConfig,
    prepared: PreparedData,
    histories: Histories,
    *,
    max_length: int,
    num_items: int,
    seed: int,
) -> PromptSource:
    """Build the source of prompts.

    Args:
        settings: the objective block.
        prepared: the data.
        histories: histories of the data, with ratings if rewards read them.
        max_length: largest number of items that the policy reads.
        num_items: number of items that the policy can recommend.
        seed: seed of the draws.

    Raises:
        SeqRecError: a user has seen too many items for a slate, or histories have no room for one.
    """
    source = PromptSource(
        histories,
        holdout_levels(prepared.users()["user_id"]),
        num_prompts=settings.num_prompts,
        held_out_share=settings.held_out_share,
        max_later=settings.max_later,
        seed=seed,
    )
    longest, slate_size = source.get_max_seen(), settings.slates.slate_size
    sizes = {"slate_size": slate_size}
    if settings.slates.sampler == "most_probable":
        sizes["num_slates"] = settings.slates.num_slates
    for key, size in sizes.items():
        if num_items - longest >= size:
            continue
        fix = "lower it" if longest < num_items else "name data with more items"
        raise SeqRecError(
            f"objective.slates.{key} {size}: a user has seen {longest} of "
            f"{num_items} items, which leaves fewer; {fix}"
        )
    if max_length <= slate_size:
        raise SeqRecError(
            f"objective.slates.slate_size {slate_size}: the model reads "
            f"{max_length} items, slate and history together; lower it"
        )
    return source


def build_learner(
    recipe: Recipe,
    policy: SeqRecForNextItem,
    sampler: Sampler,
    algorithm: Algorithm,
    *,
    entropy_bonus: float,
) -> Learner:
    """Build the learner: policy, optimizer, and a copy of the policy as the reference."""
    trainer = recipe.trainer
    return Learner(
        policy,
        adamw(policy, learning_rate=trainer.learning_rate, weight_decay=trainer.weight_decay),
        Reference(copy.deepcopy(policy), sampler),
        sampler,
        algorithm=algorithm,
        entropy_bonus=entropy_bonus,
        gradient_clip=trainer.gradient_clip,
        dtype=training_dtype(trainer.precision, trainer.accelerator),
    )


def build_executor(
    settings: RLConfig,
    policy: SeqRecForNextItem,
    sampler: Sampler,
    make_scorer: Callable[[], Scorer],
    seed: int,
) -> Executor:
    """Start rollout workers and scorer, in this process or on Ray."""
    make_worker = partial(_make_worker, policy.config, sampler, seed)
    executor = settings.executor
    if executor.name == "ray":
        return OnRay(
            make_worker,
            executor.num_workers,
            make_scorer,
            num_threads=executor.num_threads,
            address=executor.address,
        )
    workers = [make_worker(number, policy.device) for number in range(executor.num_workers)]
    return InProcess(workers, make_scorer(), in_background=settings.max_staleness > 0)


def _make_worker(
    config: Any, sampler: Sampler, seed: int, number: int, device: torch.device | None = None
) -> RolloutWorker:
    model = SeqRecForNextItem(copy.deepcopy(config))
    model.to(device)  # type: ignore[arg-type]
    return RolloutWorker(model, sampler, seed, number)


def ranking_metric(ranker: ModelRanker, validation: QueryLoader, key: str) -> float:
    """Return a ranking metric of the policy over all validation queries, without plans.

    Args:
        ranker: ranks with the policy.
        validation: validation queries.
        key: the metric, such as ``ndcg@10``.
    """
    ranker.model.eval()
    name, _, k = key.partition("@")
    values = []
    for queries in validation.iterate_all():
        ranked = ranker.rank(queries.histories, int(k))
        values.append(PER_QUERY[name](*find_hits(ranked.items, queries.targets), int(k)))
    return float(torch.cat(values).mean())
