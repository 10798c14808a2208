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
        default="ndcg@10", pattern=r"^(recall|hit_rate|ndcg|mrr)@[1-9]\d*$"
    )
    """Validation metric that chooses the epoch whose weights are kept."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak of the schedule."""
    weight_decay: float = Field(default=0.1, ge=0)
    """AdamW's, on matrices."""
    warmup_steps: int = Field(default=100, ge=0)
    """Steps of linear warm-up."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where it is trained; ``auto`` takes a GPU if there is one."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of weights, dropout and order."""
