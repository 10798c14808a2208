"""Weights of a language model that a recipe trains: all, none, or low-rank updates."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from seqrec.config.tuning import FrozenTuning, FullTuning, LoraTuning, TuningConfig
from seqrec.models.adapters import add_lora
from seqrec.training.accounting import training_dtype


def apply_tuning(
    model: PreTrainedModel, tuning: TuningConfig, trainable_rows: Sequence[int] = ()
) -> Any:
    """Set which weights of a language model are trained.

    Args:
        model: is changed.
        tuning: the ``tuning`` block.
        trainable_rows: rows of the vocabulary that ``lora`` trains whole.

    Returns:
        The model, with an adapter around it for ``lora``.

    Raises:
        SeqRecError: peft is not installed, or the model has no such layers.
    """
    match tuning:
        case LoraTuning():
            return add_lora(
                model,
                rank=tuning.rank,
                alpha=tuning.alpha,
                dropout=tuning.dropout,
                target_modules=tuning.target_modules,
                trainable_rows=trainable_rows,
            )
        case FrozenTuning():
            return model.requires_grad_(False)
        case FullTuning():
            return model.requires_grad_(True)


def weights_dtype(tuning: TuningConfig, precision: str, accelerator: str) -> torch.dtype:
    """Return the precision in which a language model's own weights are held in training.

    Weights that are trained stay float32. Frozen ones are held as products read them, in half the
    memory and without a cast in every step.

    Args:
        tuning: the ``tuning`` block.
        precision: ``trainer.precision``.
        accelerator: ``trainer.accelerator``.
    """
    is_trained = isinstance(tuning, FullTuning)
    return torch.float32 if is_trained else training_dtype(precision, accelerator)
