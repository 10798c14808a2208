"""The ``data`` block: how histories become packed batches."""

from typing import Literal

from pydantic import Field

from seqrec.config.block import Block


class DataConfig(Block):
    max_length: int = Field(default=200, gt=0)
    """Items of a history that the model reads at once; also the length of a packed row."""
    windows: Literal["last", "all"] = "all"
    """Train on each history's last window, or on all windows of it."""
    batch_size: int = Field(default=16, gt=0)
    """Packed rows of a step."""
