"""Supervised fine-tuning (SFT): next-item prediction at every position of the log."""

from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Int

from seqrec.builders.named_models import check_targets_are_unread
from seqrec.builders.pretrained import START_KEY
from seqrec.builders.streams import build_stream
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
from seqrec.errors import SeqRecError
from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.losses.negatives import NegativeSampler
from seqrec.losses.sampled import binary_cross_entropy, gbce, sampled_softmax
from seqrec.models.feature_heads import get_learned_vocabularies
from seqrec.objectives.next_item import NextItemObjective, TrainingSetup
from seqrec.objectives.start import Start
from seqrec.ranking.recommender import Recommender
from seqrec.training.loaders import PackedLoader
from seqrec.training.module import BatchLoss
from seqrec.training.steps.sft import (
    NO_EVENTS,
    EventsLoss,
    SampledLoss,
    sampled_sft_loss,
    sft_loss,
)


class SFTObjective(NextItemObjective):
    """Trains the model on the next items of every history."""

    @classmethod
    def get_sources(cls, recipe: Recipe) -> dict[str, Any]:
        return {}

    @classmethod
    def check_start(cls, recipe: Recipe, start: Recommender) -> None:
        config, path = get_config(recipe), recipe.model.from_pretrained
        check_targets_are_unread(start.model, recipe.data.windows, f"{START_KEY} {path}")
        prior = start.model.transition_prior
        if prior is None or not prior.strength:
            return
        if config.sampled_loss is not None or config.num_targets > 1 or config.smooths_labels:
            raise SeqRecError(
                f"{START_KEY} {path}: has a transition prior, which goes with objective.loss "
                "cross_entropy without label_smoothing, and objective.num_targets 1"
            )

    @classmethod
    def build_setup(
        cls, recipe: Recipe, prepared: PreparedData, start: Start, rank: int
    ) -> TrainingSetup:
        config, events = get_config(recipe), start.events
        stream = build_stream(
            recipe, prepared, start.tokens, rank, weight=config.weight, events=events
        )
        num_scored, use_sparse_gradients = prepared.num_items, False
        if isinstance(config.loss, SampledConfig):
            num_scored, use_sparse_gradients = config.loss.num_negatives + 1, config.loss.sparse
        events_loss, details = NO_EVENTS, {}
        if events is not None:
            vocabularies = get_learned_vocabularies(events)
            events_loss = EventsLoss(events.block_size, vocabularies, config.events_share)
            if events.grammar.features:
                counts = {**stream.event_counts, "tokens_per_event": events.block_size}
                details["events"] = counts
        return TrainingSetup(
            PackedLoader(stream),
            build_batch_loss(config, stream.item_counts, events_loss),
            stream.item_counts,
            num_scored,
            use_sparse_gradients=use_sparse_gradients,
            fits_cold_items=True,
            details=details,
        )

    def build_refit(self, chosen: dict[str, Any]) -> Self:
        """Build the objective on training and validation interactions, with the chosen epochs.

        Learning rate and dropout of every epoch are those of the strict run.
        """
        recipe, num_epochs = self.recipe, chosen["best_epoch"]
        trainer = recipe.trainer
        again = type(self).build(recipe, self.prepared.with_validation_in_training())
        late = num_epochs - (trainer.max_epochs - trainer.epochs_without_dropout)
        epochs = {"max_epochs": num_epochs, "epochs_without_dropout": max(late, 0)}
        settings = trainer.model_copy(update=epochs)
        again.recipe = recipe.model_copy(update={"trainer": settings})
        again.chosen_strength = chosen["details"].get("prior_strength")
        again.model.config.refit = True
        return again

    def measure(self, folder: Path) -> dict[str, Any]:
        return {}


def get_config(recipe: Recipe) -> SFTConfig:
    """Return the objective block, which must be that of SFT."""
    assert recipe.objective.name == "sft"
    return recipe.objective


def build_batch_loss(
    config: SFTConfig, item_counts: Int[np.ndarray, " I"], events: EventsLoss = NO_EVENTS
) -> BatchLoss:
    """Bind the loss of a batch to its settings.

    Args:
        config: the objective block.
        item_counts: training interactions of every item, which negatives may be drawn by.
        events: the loss of event features.
    """
    settings = config.loss
    if isinstance(settings, CrossEntropyConfig):
        return partial(
            sft_loss,
            loss=partial(
                catalog_cross_entropy,
                chunk_size=settings.chunk_size,
                label_smoothing=settings.label_smoothing,
            ),
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
    """Bind the loss of targets against negatives to its settings."""
    match settings:
        case SampledSoftmaxConfig():
            return partial(sampled_softmax, log_q=settings.log_q)
        case GBCEConfig():
            return partial(gbce, num_items=num_items, t=settings.t)
        case BinaryCrossEntropyConfig():
            return binary_cross_entropy
        case _:
            raise NotImplementedError(f"objective.loss {type(settings).__name__} has no function")
