"""Calibration of a trained model: the strength of its transition prior, its cold-start items."""

from typing import Any, NamedTuple

import torch

from seqrec.config.model import ContentConfig
from seqrec.config.recipe import Recipe
from seqrec.models import SeqRecForNextItem
from seqrec.models.content import ContentEmbedding
from seqrec.training.calibration.cold_items import learn_cold_items, scale_cold_items
from seqrec.training.calibration.prior_strength import choose_strength
from seqrec.training.loaders import PackedLoader, QueryLoader
from seqrec.training.module import TrainingModule


class Calibration(NamedTuple):
    """Results of the calibration, for ``metrics.json``."""

    details: dict[str, Any]
    validation: dict[str, float]
    """Metrics of the calibrated model; empty if nothing was chosen on validation."""


def calibrate(
    recipe: Recipe,
    module: TrainingModule,
    loader: PackedLoader,
    validation: QueryLoader | None,
    *,
    chooses_strength: bool,
    fits_cold_items: bool,
) -> Calibration:
    """Choose the settings that a recipe leaves open until the model is trained.

    Args:
        recipe: of the run.
        module: holds the model, whose weights are final.
        loader: training batches.
        validation: queries that choose; None if there are none.
        chooses_strength: choose the strength of the transition prior if the recipe gives none.
        fits_cold_items: fit the vectors of items that training never met to their content.
    """
    model, details = module.model, {}
    metrics: dict[str, float] = {}
    prior = model.transition_prior
    if validation is not None and chooses_strength and has_open_strength(recipe, model):
        metric = recipe.trainer.selection_metric
        ranker = module.ranker.without_cold_items()
        metrics = choose_strength(ranker, prior, validation, metric, module.ks)
        set_strength(model, prior.strength)
    if prior is not None:
        details["prior_strength"] = prior.strength
    if fits_cold_items:
        more_details, more_metrics = _fit_cold_items(recipe, module, loader, validation)
        details, metrics = details | more_details, metrics | more_metrics
    return Calibration(details, metrics)


def has_open_strength(recipe: Recipe, model: SeqRecForNextItem) -> bool:
    """Return whether the model has a transition prior whose strength the recipe does not give."""
    settings = recipe.model.transition_prior
    return model.transition_prior is not None and settings is not None and settings.strength is None


def set_strength(model: SeqRecForNextItem, strength: float) -> None:
    """Set the strength of the model's transition prior, also in its configuration."""
    assert model.transition_prior is not None
    model.transition_prior.strength = strength
    model.config.transition_prior = {**(model.config.transition_prior or {}), "strength": strength}


def _fit_cold_items(
    recipe: Recipe, module: TrainingModule, loader: PackedLoader, validation: QueryLoader | None
) -> Calibration:
    """Fit the vectors of items that training never met, and scale them on validation.

    They are fitted also where training has met all items: later ones come with ``extend``.
    """
    model = module.model
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, ContentEmbedding):
        return Calibration({}, {})
    settings = recipe.model.content or ContentConfig()
    torch.manual_seed(recipe.trainer.seed)
    learn_cold_items(
        model,
        loader.endless(),
        row_dropout=settings.row_dropout,
        content_dropout=settings.content_dropout,
    )
    if embedding.has_row.all():
        return Calibration({}, {})
    details: dict[str, Any] = {"number": int((~embedding.has_row).sum())}
    if validation is None:
        return Calibration({"cold_items": details}, {})
    metric = recipe.trainer.selection_metric
    scale, cost, metrics = scale_cold_items(
        module.ranker, validation, metric, module.ks, settings.max_cost
    )
    return Calibration({"cold_items": details | {"scale": scale, "cost": cost}}, metrics)
