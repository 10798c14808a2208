"""The ``trainer`` block: optimizer, epochs, selection."""

from typing import Literal

from pydantic import Field

from seqrec.config.block import Block


class TrainerConfig(Block):
    max_epochs: int = Field(default=100, gt=0)
    """Passes over the training windows, at most."""
    patience: int = Field(default=10, gt=0)
    """Epochs without a better validation before training stops."""
    selection_metric: str = Field(
        default="ndcg@10", pattern=r"^((recall|hit_rate|ndcg|mrr)@[1-9]\d*|pair_accuracy|auc)$"
    )
    """Validation metric that chooses the epoch whose weights are kept; pair_accuracy, on held-out
    pairs, goes with objective preference; auc, of held-out users' likes, with reward_model."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak of the schedule."""
    weight_decay: float = Field(default=0.1, ge=0)
    """AdamW's, on matrices."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Of the learning rate after the warm-up: to 0 at the end of ``max_epochs``, or flat."""
    warmup_steps: int = Field(default=100, ge=0)
    """Steps of linear warm-up."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Judge and keep an average of the weights, of which each step keeps this share (the first
    steps less); null: the weights themselves."""
    epochs_without_dropout: int = Field(default=0, ge=0)
    """Last of ``max_epochs``, in which nothing is dropped: for models that underfit."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where it is trained; ``auto`` takes a GPU if there is one."""
    devices: int = Field(default=1, gt=0)
    """Processes that share every batch: GPUs, or parts of a CPU."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the products in training; ``auto``: bfloat16 where the device has it."""
    checkpoint_minutes: float = Field(default=10, gt=0, le=1e6)
    """Time between checkpoints within an epoch."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of weights, dropout and order."""
