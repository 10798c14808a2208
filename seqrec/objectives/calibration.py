"""What is settled once a model has learned: its memory's strength, and what new titles are."""

from typing import Any, NamedTuple

import torch

from seqrec.config.model import ContentConfig
from seqrec.config.objective import DistillationConfig, SFTConfig
from seqrec.config.recipe import Recipe
from seqrec.models import SeqRecForNextItem
from seqrec.models.content import ContentEmbedding
from seqrec.objectives.interface import Learning
from seqrec.training.calibration.cold_items import learn_cold_items, scale_cold_items
from seqrec.training.calibration.prior_strength import choose_strength
from seqrec.training.loaders import QueryLoader
from seqrec.training.module import TrainingModule

SETTLE_COLD_ITEMS = SFTConfig | DistillationConfig
"""Objectives that teach a whole model, and what content says of new titles afterwards."""


class Completion(NamedTuple):
    """For ``metrics.json``."""

    facts: dict[str, Any]
    validation: dict[str, float]
    """The metrics of the whole model; empty if nothing was left open."""


def complete(
    recipe: Recipe,
    module: TrainingModule,
    learning: Learning,
    validation: QueryLoader | None,
) -> Completion:
    """Settle what a recipe leaves open until the model has learned.

    Args:
        recipe: of the run.
        module: holds the model, whose weights are chosen.
        learning: gives training histories.
        validation: judges; absent if nobody can.
    """
    model = module.model
    found = Completion({}, {})
    is_open = learning.prior_strength is None and has_open_strength(recipe, model)
    if validation is not None and is_open:
        metric = recipe.trainer.selection_metric
        assert model.transition_prior is not None
        with module.ranker.without_cold_items():
            metrics = choose_strength(
                module.ranker, model.transition_prior, validation, metric, module.ks
            )
        set_strength(model, model.transition_prior.strength)
        found = Completion({}, metrics)
    if model.transition_prior is not None:
        found = found._replace(facts={"prior_strength": model.transition_prior.strength})
    if isinstance(recipe.objective, SETTLE_COLD_ITEMS):
        facts, metrics = _of_cold_items(recipe, module, learning, validation)
        found = Completion(found.facts | facts, found.validation | metrics)
    return found


def has_open_strength(recipe: Recipe, model: SeqRecForNextItem) -> bool:
    """Whether the model has a memory of which the recipe does not say what it counts."""
    settings = recipe.model.transition_prior
    return model.transition_prior is not None and settings is not None and settings.strength is None


def set_strength(model: SeqRecForNextItem, strength: float) -> None:
    """Say what the model's memory counts, in its folder, too."""
    assert model.transition_prior is not None
    model.transition_prior.strength = strength
    model.config.transition_prior = {**(model.config.transition_prior or {}), "strength": strength}


def _of_cold_items(
    recipe: Recipe, module: TrainingModule, learning: Learning, validation: QueryLoader | None
) -> Completion:
    """Of titles that training never met: what content says of them, and how loudly."""
    model = module.model
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, ContentEmbedding) or embedding.has_row.all():
        return Completion({}, {})
    settings = recipe.model.content or ContentConfig()
    torch.manual_seed(recipe.trainer.seed)
    learn_cold_items(
        model,
        learning.loader.endless(),
        row_dropout=settings.row_dropout,
        content_dropout=settings.content_dropout,
    )
    facts: dict[str, Any] = {"number": int((~embedding.has_row).sum())}
    if validation is None:
        return Completion({"cold_items": facts}, {})
    metric = recipe.trainer.selection_metric
    scale, cost, metrics = scale_cold_items(
        module.ranker, validation, metric, module.ks, settings.max_cost
    )
    return Completion({"cold_items": facts | {"scale": scale, "cost": cost}}, metrics)
