"""The ``data`` block: how histories become packed batches."""

from typing import Literal

from pydantic import Field, model_validator

from seqrec.config.block import Block
from seqrec.config.events import EventsConfig


class DataConfig(Block):
    max_length: int = Field(default=200, gt=0)
    """Items of a history that the model reads at once; also the length of a packed row."""
    windows: Literal["last", "all", "prefixes"] = "all"
    """Train on each history's last window, on all windows of it, or on one for each target."""
    stride: int | None = Field(default=None, gt=0)
    """Items between the windows of a long history; null: max_length, so that none overlap."""
    batch_size: int = Field(default=16, gt=0)
    """Packed rows of a step, all devices together."""
    pool_rows: int = Field(default=2_000_000, gt=0)
    """Interactions held in memory, and shuffled, at once; at least those of a few batches."""
    events: EventsConfig | None = None
    """Tell what the log says beside titles, as tokens around them; null: titles alone."""

    pairs: str | None = None
    """Pairs file (seqrec pairs) that objective preference learns from."""
    held_out_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of users whose pairs are not learned from, but judged by."""

    labels: str | None = None
    """Labelled answers (Parquet, NDJSON, CSV, TSV) that objective reward_model learns from instead
    of ratings."""

    @model_validator(mode="after")
    def _stride_leaves_no_gap(self) -> "DataConfig":
        if self.stride is not None and self.stride > self.max_length:
            raise ValueError(f"stride {self.stride} is longer than max_length {self.max_length}")
        if self.stride is not None and self.windows != "all":
            raise ValueError(f"stride goes with windows all, not {self.windows}")
        return self
