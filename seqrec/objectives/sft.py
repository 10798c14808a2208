"""From an SFT recipe to objects: packed batches and the loss over the catalog."""

from functools import partial

import numpy as np
import torch
from jaxtyping import Int

from seqrec.config.objective import (
    BinaryCrossEntropyConfig,
    CrossEntropyConfig,
    GBCEConfig,
    SampledConfig,
    SampledSoftmaxConfig,
    SFTConfig,
)
from seqrec.config.recipe import Recipe
from seqrec.data.prepared import PreparedData
from seqrec.losses.catalog import IGNORE_INDEX, catalog_cross_entropy
from seqrec.losses.negatives import NegativeSampler
from seqrec.losses.sampled import binary_cross_entropy, gbce, sampled_softmax
from seqrec.models.feature_heads import learned_families
from seqrec.objectives.interface import Learning
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.log import event_blocks
from seqrec.tokens.streams.log import PackedStream
from seqrec.tokens.streams.windows import training_windows
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.training.loaders import PackedLoader
from seqrec.training.module import Objective
from seqrec.training.steps.sft import (
    TITLES_ALONE,
    EventsLoss,
    SampledLoss,
    sampled_sft_loss,
    sft_loss,
)


def build_sft(
    recipe: Recipe,
    prepared: PreparedData,
    tokens: ItemTokens,
    rank: int,
    events: EventTokens | None = None,
) -> Learning:
    """Everything beside the model that an SFT recipe names."""
    config = recipe.objective
    assert isinstance(config, SFTConfig)
    stream = build_stream(recipe, prepared, tokens, rank, config.weight, events)
    num_scored, is_sparse = prepared.num_items, False
    if isinstance(config.loss, SampledConfig):
        num_scored, is_sparse = config.loss.num_negatives + 1, config.loss.sparse
    events_loss = TITLES_ALONE
    if events is not None:
        events_loss = EventsLoss(events.block_size, learned_families(events), config.events_share)
    objective = build_objective(config, stream.item_counts, events_loss)
    facts = {}
    if events is not None and events.grammar.features:
        facts["events"] = {**stream.event_counts, "tokens_per_event": events.block_size}
    return Learning(
        PackedLoader(stream), objective, stream.item_counts, num_scored, is_sparse, facts=facts
    )


def build_stream(
    recipe: Recipe,
    prepared: PreparedData,
    tokens: ItemTokens,
    rank: int,
    weight: str | None = None,
    events: EventTokens | None = None,
    has_sources: bool = False,
) -> PackedStream:
    """The packed training batches of one of the run's processes."""
    data = recipe.data
    columns = [weight] if weight else []
    blocks = prepared.blocks(columns)
    if events is not None:
        blocks = event_blocks(prepared, events.grammar, *columns)
    return PackedStream(
        blocks,
        tokens,
        partial(
            training_windows, max_length=data.max_length, which=data.windows, stride=data.stride
        ),
        weight=weight,
        row_length=data.max_length,
        batch_size=data.batch_size,
        pool_rows=data.pool_rows,
        ignore_index=IGNORE_INDEX,
        seed=recipe.trainer.seed,
        rank=rank,
        num_ranks=recipe.trainer.devices,
        events=events,
        has_sources=has_sources,
    )


def build_objective(
    config: SFTConfig, item_counts: Int[np.ndarray, " I"], events: EventsLoss = TITLES_ALONE
) -> Objective:
    """The loss of a batch under a model."""
    settings = config.loss
    if isinstance(settings, CrossEntropyConfig):
        of_titles = partial(catalog_cross_entropy, chunk_size=settings.chunk_size)
        return partial(
            sft_loss,
            loss=of_titles,
            num_targets=config.num_targets,
            target_decay=config.target_decay,
            events=events,
        )
    sampler = NegativeSampler(
        num_negatives=settings.num_negatives,
        distribution=settings.negatives,
        item_counts=torch.from_numpy(item_counts),
        power=settings.power,
        in_batch_share=settings.in_batch_share,
    )
    loss = build_sampled_loss(settings, len(item_counts))
    return partial(sampled_sft_loss, loss=loss, sampler=sampler, events=events)


def build_sampled_loss(settings: SampledConfig, num_items: int) -> SampledLoss:
    """The loss of targets against negatives."""
    match settings:
        case SampledSoftmaxConfig():
            return partial(sampled_softmax, log_q=settings.log_q)
        case GBCEConfig():
            return partial(gbce, num_items=num_items, t=settings.t)
        case BinaryCrossEntropyConfig():
            return binary_cross_entropy
        case _:
            raise NotImplementedError(f"objective.loss {type(settings).__name__} has no function")
