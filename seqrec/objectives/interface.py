"""What objectives consist of that step through batches of the log, and how they are fitted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from seqrec.config.recipe import Recipe
from seqrec.training.callbacks import Watch
from seqrec.training.fit import FitResult, fit
from seqrec.training.loaders import PackedLoader, Validation
from seqrec.training.module import LearningModule, Objective
from seqrec.training.steps.preference import PairWatch

ACCOUNTS = (
    "tokens_per_second",
    "useful_share",
    "decoder_gflops",
    "head_gflops",
    "share_of_product_rate",
)
"""Of an epoch, the median of all: what ``metrics.json`` takes from the log."""


class Learning(NamedTuple):
    """What a recipe's objective gives beside the model."""

    loader: PackedLoader
    objective: Objective
    """The loss of a batch under a model."""
    item_counts: Int[np.ndarray, " I"]
    """Training interactions of every item."""
    num_scored: int
    """Items that a target is scored against, itself among them."""
    is_sparse: bool = False
    """Whether a step touches only the rows that it used."""
    watched: PairWatch | None = None
    """What is judged beside the ranking after every epoch."""
    facts: dict[str, Any] = {}
    """For ``metrics.json``."""
    notice: str | None = None
    """What is said before training."""
    prior_strength: float | None = None
    """What a memory counts from the start where the recipe leaves it open; None: validation chooses
    afterwards."""


def fit_recipe(
    recipe: Recipe,
    module: LearningModule,
    loader: PackedLoader,
    validation: Validation,
    folder: Path,
    *,
    num_scored: int,
    watch: Watch | None = None,
) -> FitResult:
    """``fit`` with what the recipe's trainer block says."""
    trainer = recipe.trainer
    return fit(
        module,
        loader,
        validation,
        folder,
        max_epochs=trainer.max_epochs,
        patience=trainer.patience,
        selection_metric=trainer.selection_metric,
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        checkpoint_minutes=trainer.checkpoint_minutes,
        ema_decay=trainer.ema_decay,
        epochs_without_dropout=trainer.epochs_without_dropout,
        num_scored=num_scored,
        watch=watch,
    )


def cost_of(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What the epochs of a log took: seconds in all, and the median of their accounts."""
    seconds = round(sum(line["train_seconds"] for line in lines), 1)
    medians = {key: float(np.median([line[key] for line in lines])) for key in ACCOUNTS}
    return {"train_seconds": seconds, **medians}
