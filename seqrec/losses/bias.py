"""Biases of catalog logits: what is added to them, and items that are excluded from a row."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

MASKED_LOGIT = -1e9
"""The logit of an item that cannot be chosen: finite, so that 0 times it is 0."""

Rows = slice | Tensor
"""Some rows: a range, or their numbers."""


@dataclass(frozen=True)
class ExcludedItems:
    """A bias under which some items of every row have no probability."""

    items: Int[Tensor, "N S"]
    """The excluded items of every row; -1 is none."""
    other_bias: "LogitBias | None" = None
    """A bias of all items, added first."""

    def add_to(
        self, logits: Float[Tensor, "C tile"], rows: Rows, tile: slice, temperature: float = 1.0
    ) -> None:
        """Change logits in place: only the numbers of excluded items are touched."""
        add_bias(logits, self.other_bias, rows, tile, temperature)
        mask_items(logits, self.items[rows], tile)


def mask_items(logits: Float[Tensor, "C tile"], items: Int[Tensor, "C S"], tile: slice) -> None:
    """Lower the logits of some items of every row, in place; items outside the tile do not count.

    No item is looked for, as the host would wait for the number of those found.
    """
    is_here = (items >= tile.start) & (items < tile.stop)
    kept = torch.full_like(items, torch.inf, dtype=logits.dtype)
    source = kept.masked_fill(is_here, MASKED_LOGIT)
    logits.scatter_reduce_(1, (items - tile.start).where(is_here, 0), source, "amin")


LogitBias = Callable[[Rows, slice], Float[Tensor, "C tile"]] | ExcludedItems
"""An addend to the logits of some rows and a range of items; no gradient flows into it."""


def add_bias(
    logits: Float[Tensor, "C tile"],
    bias: LogitBias | None,
    rows: Rows,
    tile: slice,
    temperature: float = 1.0,
) -> None:
    """Add a bias, divided by a temperature, to the logits of some rows and a range of items."""
    if isinstance(bias, ExcludedItems):
        bias.add_to(logits, rows, tile, temperature)
    elif bias is not None:
        dense = bias(rows, tile)
        logits += (dense if temperature == 1 else dense / temperature).to(logits.dtype)
