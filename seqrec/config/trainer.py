"""The ``trainer`` block: optimizer, epochs, selection."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from seqrec.config.block import Block
from seqrec.config.limits import (
    MAX_DECAY,
    MAX_EPOCHS,
    MAX_NORM,
    MAX_PROCESSES,
    MAX_RATE,
    MAX_STEPS,
)


def spell_out(precision: Any) -> Any:
    return "bfloat16" if precision == "bf16" else precision


TrackerName = Literal["tensorboard", "mlflow", "wandb", "trackio"]


def as_list(names: Any) -> Any:
    return [names] if isinstance(names, str) else names or []


class TrainerConfig(Block):
    selection_mode: ClassVar[str] = "max"

    max_epochs: int = Field(default=100, gt=0, le=MAX_EPOCHS)
    """Largest number of passes over the training windows."""
    patience: int = Field(default=10, gt=0, le=MAX_EPOCHS)
    """Training stops after this number of epochs without a better validation metric."""
    selection_metric: str = Field(
        default="ndcg@10",
        pattern=r"^((recall|hit_rate|ndcg|mrr)@[1-9]\d{0,5}|pair_accuracy|auc"
        r"|(search|request|new_tag)_(recall|ndcg)@10)$",
    )
    """Validation metric by which the best epoch is selected. Objective preference also has
    pair_accuracy, on held-out pairs; objective reward_model has auc, on held-out users; objective
    search has request_ndcg@10 and new_tag_ndcg@10 (or recall), of lists that requests ask for, and
    search_ndcg@10, their mean."""
    learning_rate: float = Field(default=1e-3, gt=0, le=MAX_RATE)
    """Largest learning rate of the schedule."""
    weight_decay: float = Field(default=0.1, ge=0, le=MAX_DECAY)
    """Weight decay of AdamW; it applies to matrices only."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning rate after the warm-up: constant, or falling to 0 at the end of max_epochs along a
    line or a cosine."""
    warmup_steps: int = Field(default=100, ge=0, le=MAX_STEPS)
    """Steps in which the learning rate grows linearly from 0."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, which is validated and saved instead
    of the weights; it starts smaller in the first steps. null: no average."""
    epochs_without_dropout: int = Field(default=0, ge=0, le=MAX_EPOCHS)
    """Number of epochs at the end of max_epochs that train without dropout, for models that
    underfit."""
    refit: Literal["validation"] | None = None
    """validation: once validation has chosen, train again from the start on training and validation
    interactions, for the chosen number of epochs. The model and its rows in tables are labelled
    refit; the strict run stays in the run folder's strict. Objective sft alone. null: no refit."""
    gradient_clip: float = Field(default=1.0, gt=0, le=MAX_NORM)
    """Largest norm of the gradient; larger gradients are scaled down."""
    accumulate_batches: int = Field(default=1, gt=0, le=MAX_EPOCHS)
    """Batches whose gradients are added up in a step, which equals that of one batch as large;
    the last step of an epoch may have fewer. Larger steps for the same memory."""
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    """Device to train on; auto: a GPU if there is one, else the CPU. gpu is cuda or mps (Apple),
    whichever the machine has."""
    devices: int = Field(default=1, gt=0, le=MAX_PROCESSES)
    """Number of processes that share every batch, each on a GPU or on a part of the CPU."""
    precision: Annotated[Literal["auto", "float32", "bfloat16"], BeforeValidator(spell_out)] = (
        "auto"
    )
    """Number format of matrix products in training; auto: bfloat16 if the device supports it;
    bf16 is another name of bfloat16."""
    checkpoint_minutes: float = Field(default=10, gt=0, le=1e6)
    """Minutes between two checkpoints within an epoch."""
    tracker: Annotated[list[TrackerName], BeforeValidator(as_list)] = []
    """Experiment trackers that repeat the log of the run: tensorboard, mlflow, wandb, one or a
    list."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the initial weights, of dropout and of the order of the data."""
