"""The ``data`` block: how histories become packed batches."""

from typing import Literal

from pydantic import Field, model_validator

from seqrec.config.block import Block
from seqrec.config.events import EventsConfig
from seqrec.config.limits import MAX_ITEMS, MAX_ROWS, MAX_STORED


class ReplayConfig(Block):
    since: str
    """First time of the new days, such as 2024-03-01 or 2024-03-01T12:00, in UTC without a zone.
    Windows whose last target is as late are trained on."""
    share: float = Field(default=0.1, ge=0, le=1)
    """Share of the other windows that is trained on beside them, so that nothing is forgotten."""


class DataConfig(Block):
    max_length: int = Field(default=200, gt=0, le=MAX_ITEMS)
    """Longest stretch of a history that the model reads at once, in items; packed rows have this
    length, or above 512 the length that the longest of the training windows needs."""
    windows: Literal["last", "all", "prefixes"] = "all"
    """Windows of a history to train on: the last one; all; or prefixes, one for each target."""
    stride: int | None = Field(default=None, gt=0, le=MAX_ITEMS)
    """Distance between the starts of two windows of a long history, in items; null: max_length, so
    that windows do not overlap."""
    batch_size: int = Field(default=16, gt=0, le=MAX_ROWS)
    """Packed rows in an optimizer step, over all devices together."""
    pool_rows: int = Field(default=2_000_000, gt=0, le=MAX_STORED)
    """Interactions held in memory and shuffled together; at least those of a few batches are
    held."""
    events: EventsConfig | None = None
    """Event features that the model reads as tokens around each item; null: items only."""

    replay: ReplayConfig | None = None
    """Go on training with the new days of a grown log, beside a share of the old ones; needs
    model.from_pretrained. null: train on all days."""

    pairs: str | None = None
    """Pairs file written by seqrec pairs, for objective preference; null: none."""
    held_out_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the users whose pairs are held out of training, for validation."""

    labels: str | None = None
    """Labelled items (Parquet, NDJSON, CSV or TSV), for objective reward_model; null: the labels
    are the ratings of the log."""

    @model_validator(mode="after")
    def _check_stride(self) -> "DataConfig":
        if self.stride is not None and self.stride > self.max_length:
            raise ValueError(f"stride {self.stride} is longer than max_length {self.max_length}")
        if self.stride is not None and self.windows != "all":
            raise ValueError(f"stride goes with windows all, not {self.windows}")
        return self
