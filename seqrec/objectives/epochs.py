"""Settings, metrics and costs of objectives that train in epochs."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from seqrec.config.text import TextTrainerConfig
from seqrec.config.trainer import TrainerConfig
from seqrec.training.fit import FitSettings
from seqrec.training.module import SELECTION

ACCOUNTS = (
    "tokens_per_second",
    "useful_share",
    "decoder_gflops",
    "head_gflops",
    "share_of_product_rate",
)
"""Costs of an epoch; a run reports the median over its epochs."""


def fit_settings(trainer: TrainerConfig | TextTrainerConfig) -> FitSettings:
    """The settings of the Trainer that the recipe's trainer block holds."""
    return FitSettings(
        **{field.name: getattr(trainer, field.name) for field in fields(FitSettings)}
    )


def epoch_costs(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The training seconds of all epochs of a log, and the median of each account."""
    seconds = round(sum(line["train_seconds"] for line in lines), 1)
    medians = {key: float(np.median([line[key] for line in lines])) for key in ACCOUNTS}
    return {"train_seconds": seconds, **medians}


def validation_of(line: dict[str, Any]) -> dict[str, float]:
    """The validation metrics in a line of the log, by their plain names."""
    names = [key for key in line if key.startswith("val/") and key != SELECTION]
    return {key.removeprefix("val/"): line[key] for key in names}
