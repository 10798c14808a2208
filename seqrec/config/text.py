"""The ``data``, ``model`` and ``trainer`` blocks of recipes that train on text."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from seqrec.config.block import Block
from seqrec.config.limits import (
    MAX_DECAY,
    MAX_EPOCHS,
    MAX_ITEMS,
    MAX_NORM,
    MAX_RATE,
    MAX_ROWS,
    MAX_STEPS,
)
from seqrec.config.trainer import TrackerName, as_list, spell_out
from seqrec.config.tuning import FullTuning, LoraTuning

Precision = Annotated[Literal["auto", "float32", "bfloat16"], BeforeValidator(spell_out)]


class TextDataConfig(Block):
    max_length: int = Field(default=2048, gt=1, le=MAX_ITEMS)
    """Longest example, in tokens."""
    too_long: Literal["truncate", "drop"] = "truncate"
    """Treatment of longer examples, which are counted: their end is cut off, or they are left
    out."""
    row_length: int = Field(default=2048, gt=1, le=MAX_ITEMS)
    """Most tokens of a row, into which examples are packed; no example reads another."""
    batch_size: int = Field(default=1, gt=0, le=MAX_ROWS)
    """Rows whose gradient is computed at once; they lie side by side without padding."""
    held_out_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the examples that is held out of training, for validation."""
    validation: str | None = None
    """File, folder or pattern with the examples of validation, in place of a share."""


class LanguageModelConfig(Block):
    backbone: str
    """Language model: a folder in Hugging Face format, a GGUF file, an installed package that
    contains one, or a name on a model hub."""
    adapter: str | None = None
    """Folder of an adapter (LoRA) that is merged into the backbone before training; null: none."""
    tuning: Annotated[FullTuning | LoraTuning, Field(discriminator="name")] = FullTuning()
    """Weights that are trained."""
    dtype: Precision = "auto"
    """Number format of the backbone's weights in memory; auto: float32 for tuning full, else the
    precision of the products. A model is saved in it."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory for more time."""


class TextTrainerConfig(Block):
    selection_metric: ClassVar[str] = "loss_nats"
    selection_mode: ClassVar[str] = "min"
    devices: ClassVar[int] = 1
    ema_decay: ClassVar[float | None] = None
    epochs_without_dropout: ClassVar[int] = 0
    refit: ClassVar[str | None] = None

    max_epochs: int = Field(default=3, gt=0, le=MAX_EPOCHS)
    """Largest number of passes over the examples."""
    patience: int = Field(default=1, gt=0, le=MAX_EPOCHS)
    """Training stops after this number of epochs without a better validation metric."""
    learning_rate: float = Field(default=2e-4, gt=0, le=MAX_RATE)
    """Largest learning rate of the schedule."""
    weight_decay: float = Field(default=0.0, ge=0, le=MAX_DECAY)
    """Weight decay of AdamW; it applies to matrices only."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """Learning rate after the warm-up: constant, or falling to 0 at the end of max_epochs along a
    line or a cosine."""
    warmup_steps: int = Field(default=10, ge=0, le=MAX_STEPS)
    """Steps in which the learning rate grows linearly from 0."""
    gradient_clip: float = Field(default=1.0, gt=0, le=MAX_NORM)
    """Largest norm of the gradient; larger gradients are scaled down."""
    accumulate_batches: int = Field(default=4, gt=0, le=MAX_EPOCHS)
    """Batches whose gradients are added up in a step, which equals that of one batch as large."""
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    """Device to train on; auto: a GPU if there is one, else the CPU."""
    precision: Precision = "auto"
    """Number format of matrix products in training; auto: bfloat16 if the device supports it."""
    checkpoint_minutes: float = Field(default=10, gt=0, le=1e6)
    """Minutes between two checkpoints within an epoch."""
    sample_steps: int = Field(default=100, ge=0, le=MAX_STEPS)
    """Steps between two samples of the model's answers, which are printed; 0: none."""
    sample_tokens: int = Field(default=60, gt=0, le=MAX_ITEMS)
    """Longest sample, in tokens."""
    tracker: Annotated[list[TrackerName], BeforeValidator(as_list)] = []
    """Experiment trackers that repeat the log of the run, one or a list."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of new weights, of dropout and of the order of the data."""
