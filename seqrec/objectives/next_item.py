"""Objectives that train a next-item model on packed batches: SFT, preference, distillation."""

import sys
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Int

from seqrec.builders.model import build_optimizers
from seqrec.builders.named_models import open_same_items
from seqrec.builders.pretrained import fit_to_log
from seqrec.config.recipe import Recipe
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import protocol_line
from seqrec.models import SeqRecForNextItem
from seqrec.models.adapters import reset_adapter
from seqrec.models.folder import model_folder
from seqrec.objectives.calibration import calibrate, has_open_strength, set_strength
from seqrec.objectives.epochs import epoch_costs, fit_settings, validation_of
from seqrec.objectives.interface import MODEL_FOLDER, CatalogObjective, RunOutcome
from seqrec.objectives.start import Start, open_start
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.events.log import event_blocks
from seqrec.training.accounting import training_dtype, training_flops
from seqrec.training.callbacks import ShouldStop
from seqrec.training.epoch_log import read_log
from seqrec.training.fit import LOG_FILE, FitResult, fit, get_device
from seqrec.training.loaders import PackedLoader, QueryLoader
from seqrec.training.module import SELECTION, BatchLoss, ExtraMetrics, Tolerance, TrainingModule
from seqrec.training.validation import validation_metrics

VALIDATION_KS = (10, 50)
TOLERANCE_METRICS = ("recall@10", "ndcg@10")
"""Validation metrics that may fall by the tolerance at most."""


class TrainingSetup(NamedTuple):
    """Batches, loss and settings of an objective, to which the model is added."""

    loader: PackedLoader
    batch_loss: BatchLoss
    item_counts: Int[np.ndarray, " I"]
    """Training interactions of every item."""
    num_scored: int
    """Items that a target is scored against, itself among them."""
    use_sparse_gradients: bool = False
    """A step updates only the item vectors that it used."""
    fits_cold_items: bool = False
    """Cold-start items are excluded in training, and fitted to their content after it."""
    tolerance: float | None = None
    """Share of the start's recall@10 and ndcg@10 that an epoch may lose; the weights of the start
    are kept if no such epoch is better. None: the start is not judged."""
    extra_metrics: ExtraMetrics | None = None
    """Measured beside the ranking after every epoch."""
    prior_strength: float | None = None
    """Strength of the transition prior where the recipe gives none; None: validation chooses it
    after training."""
    check_model: Callable[[SeqRecForNextItem], None] | None = None
    """Refuses a model that these batches cannot train."""
    prepare_model: Callable[[SeqRecForNextItem], None] | None = None
    """Adds parts to the model that only this objective trains."""
    finish_model: Callable[[SeqRecForNextItem], None] | None = None
    """Completes the model with what training held out."""
    details: dict[str, Any] = {}
    """For ``metrics.json``."""
    notices: tuple[str, ...] = ()
    """Lines that are printed before training."""


@dataclass
class NextItemObjective(CatalogObjective):
    """A next-item model that is trained in epochs; subclasses give it batches and a loss."""

    setup: TrainingSetup
    module: TrainingModule
    validation: QueryLoader
    start_metrics: dict[str, float] = field(default_factory=dict)
    """Validation metrics of the start, as in a line of the log; empty if it is not judged."""
    chosen_strength: float | None = None
    """Strength of the transition prior that an earlier run chose on validation."""

    @classmethod
    @abstractmethod
    def build_setup(
        cls, recipe: Recipe, prepared: PreparedData, start: Start, rank: int
    ) -> TrainingSetup:
        """Build batches, loss and settings.

        Raises:
            SeqRecError: a mistake in what the recipe names.
        """

    @classmethod
    @abstractmethod
    def check_start(cls, recipe: Recipe, start: Recommender) -> None:
        """Refuse a model of ``model.from_pretrained`` that the objective cannot train.

        Raises:
            SeqRecError: the reason.
        """

    @classmethod
    def build(cls, recipe: Recipe, prepared: PreparedData, rank: int = 0) -> Self:
        torch.manual_seed(recipe.trainer.seed)
        start = open_start(recipe, prepared, cls.check_start)
        setup = cls.build_setup(recipe, prepared, start, rank)
        torch.manual_seed(recipe.trainer.seed)  # again: other models may have been opened
        model = start.get_model(recipe, prepared, setup.item_counts)
        if start.trained is not None:
            fit_to_log(recipe, prepared, model, setup.item_counts)
        adapter = start.tune(recipe, model)
        if setup.prior_strength is not None and has_open_strength(recipe, model):
            set_strength(model, setup.prior_strength)
        if setup.check_model is not None:
            setup.check_model(model)
        if setup.prepare_model is not None:
            setup.prepare_model(model)
        grammar = start.coder.grammar if start.coder else None
        validation = QueryLoader(
            event_blocks(prepared, grammar) if grammar else prepared.blocks(),
            prepared.targets,
            memory_rows=recipe.data.pool_rows,
            rank=rank,
            num_ranks=recipe.trainer.devices,
            events=start.events,
        )
        if not validation.num_queries and not prepared.trains_on_validation:
            _check_validation_unused(recipe, prepared, setup, model)
        objective = cls(
            recipe,
            prepared,
            model,
            start.tokenizer,
            setup.item_counts,
            recipe.trainer.selection_metric,
            protocol_line(
                prepared,
                "validation",
                validation.num_queries,
                exclude_seen=True,
                **({"time_input": grammar.time_input} if grammar else {}),
            ),
            setup.notices,
            setup,
            build_module(recipe, setup, model, start),
            validation,
        )
        objective.adapter = adapter
        return objective

    def before(self) -> None:
        """Judge the model of the start, which sets the tolerance of the epochs."""
        tolerance = self.setup.tolerance
        if tolerance is None:
            return
        module = self.module
        module.model.eval()
        metrics = validation_metrics(module.ranker, self.validation, module.ks)
        if module.extra_metrics is not None:
            metrics |= module.extra_metrics(module.model)
        self.start_metrics = {f"val/{key}": value for key, value in metrics.items()}
        least = {f"val/{key}": metrics[key] * (1 - tolerance) for key in TOLERANCE_METRICS}
        module.tolerance = Tolerance(least, f"val/{self.selection_metric}")
        module.model.train()

    def fit(self, folder: Path, should_stop: ShouldStop | None = None) -> FitResult:
        trainer, ranker = self.recipe.trainer, self.module.ranker
        shares_gpus = trainer.devices > 1 and trainer.accelerator != "cpu"
        is_nccl = shares_gpus and torch.cuda.is_available()  # which cannot add sparse gradients
        self.model.use_sparse_gradients(self.setup.use_sparse_gradients and not is_nccl)
        self.model.keep_frozen_states(True)
        if self.setup.fits_cold_items:
            self.module.ranker = ranker.without_cold_items()
        result = fit(
            self.module,
            self.setup.loader,
            self.validation,
            folder,
            fit_settings(trainer),
            count_flops=partial(
                training_flops,
                self.model,
                row_length=self.setup.loader.stream.row_length,
                num_scored=self.setup.num_scored,
            ),
            should_stop=should_stop,
            save_best=partial(self.save_best, folder / MODEL_FOLDER),
            tracker=self.tracker,
        )
        self.module.ranker = ranker
        self.model.use_sparse_gradients(False)
        self.model.keep_frozen_states(False)
        return result

    def after(self, folder: Path, fit: FitResult) -> RunOutcome:
        trainer = self.recipe.trainer
        last = trainer.epochs_without_dropout
        if last and fit.num_epochs <= trainer.max_epochs - last:
            print(
                f"trainer.epochs_without_dropout: training ended in epoch {fit.num_epochs}, "
                "before them",
                file=sys.stderr,
            )
        lines = read_log(folder / LOG_FILE)
        best_epoch = self._choose_weights(lines, fit)
        self.model.eval()
        self.model.to(get_device(trainer.accelerator), torch.float32)  # Lightning took it away
        if self.chosen_strength is not None:
            set_strength(self.model, self.chosen_strength)
        calibration = calibrate(
            self.recipe,
            self.module,
            self.setup.loader,
            self.validation if fit.has_validation else None,
            chooses_strength=self.setup.prior_strength is None,
            fits_cold_items=self.setup.fits_cold_items,
        )
        self.model.cpu()
        if self.setup.finish_model is not None:
            self.setup.finish_model(self.model)
        best = next((line for line in lines if line["epoch"] == best_epoch - 1), self.start_metrics)
        return RunOutcome(
            best_epoch,
            validation_of(self.start_metrics),
            validation_of(best) | calibration.validation,
            {**self.setup.details, **calibration.details},
            epoch_costs(lines),
        )

    def _choose_weights(self, lines: list[dict[str, Any]], fit: FitResult) -> int:
        """Return the best epoch; 0, with the weights of the start, if no epoch is better.

        An epoch is always chosen if the start was not judged.
        """
        assert fit.best_epoch is not None
        if not self.start_metrics:
            return fit.best_epoch
        least = self.start_metrics[f"val/{self.selection_metric}"]
        by_epoch = {line["epoch"]: line for line in lines}
        if by_epoch[fit.best_epoch - 1][SELECTION] > least:
            return fit.best_epoch
        if self.adapter is not None:
            reset_adapter(self.adapter)
            return 0
        folder = model_folder(str(self.recipe.model.from_pretrained))
        before = open_same_items(folder, self.prepared).model
        self.model.load_state_dict(before.state_dict())
        return 0


def build_module(
    recipe: Recipe, setup: TrainingSetup, model: SeqRecForNextItem, start: Start
) -> TrainingModule:
    """Build the Lightning module that trains and validates the model."""
    trainer = recipe.trainer
    selection_k = int(trainer.selection_metric.partition("@")[2] or VALIDATION_KS[0])
    return TrainingModule(
        model,
        setup.batch_loss,
        partial(build_optimizers, recipe, len(setup.loader)),
        ModelRanker("validation", model, start.tokens, start.events),
        sorted({*VALIDATION_KS, selection_k}),
        dtype=training_dtype(trainer.precision, trainer.accelerator),
        gradient_clip=trainer.gradient_clip,
        extra_metrics=setup.extra_metrics,
    )


def _check_validation_unused(
    recipe: Recipe, prepared: PreparedData, setup: TrainingSetup, model: SeqRecForNextItem
) -> None:
    """Refuse data without validation queries if the objective needs them."""
    if recipe.trainer.refit is not None:
        raise SeqRecError(
            f"trainer.refit: {prepared.path} has no validation target under {prepared.split_by}; "
            "leave it out, or prepare with another --split-by"
        )
    if setup.tolerance is not None:
        raise SeqRecError(
            f"{prepared.path}: no user has a validation target under {prepared.split_by}, which "
            f"objective {recipe.objective.name} needs; prepare with another --split-by"
        )
    if setup.prior_strength is None and has_open_strength(recipe, model):
        raise SeqRecError(
            "model.transition_prior.strength: null is chosen on validation, and "
            f"{prepared.path} has no validation target under {prepared.split_by}; name one, or "
            "prepare with another --split-by"
        )
