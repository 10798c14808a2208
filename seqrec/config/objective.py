"""The ``objective`` block: what is learned, and by which loss."""

from typing import Literal

from pydantic import Field

from seqrec.config.block import Block


class CrossEntropyConfig(Block):
    name: Literal["cross_entropy"] = "cross_entropy"
    """Full softmax over the catalog."""
    chunk_size: int = Field(default=1024, gt=0)
    """Positions scored at once."""


class SFTConfig(Block):
    name: Literal["sft"]
    """Next-item prediction at every position."""
    loss: CrossEntropyConfig = CrossEntropyConfig()
    """The loss over the catalog."""
    weight: str | None = None
    """Column that says how much a target counts; 0 is read but not learned."""
