"""The items that lists may hold: a mask for all histories, and lists for each history."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

Items = Int[np.ndarray, " S"]


@dataclass(frozen=True)
class AllowedItems:
    """The items that may be listed after each of some histories, besides the rule on seen items."""

    num_items: int
    shared: Bool[np.ndarray, " I"] | None = None
    """Items that every list may hold; None: all."""
    only: Sequence[Items] | None = None
    """Items that the list of each history may hold; None: no such restriction."""
    excluded: Sequence[Items] | None = None
    """Items that the list of each history may not hold; None: no such restriction."""

    def select(self, rows: Sequence[int] | Int[np.ndarray, " R"]) -> "AllowedItems":
        """Return the items allowed for some of the histories."""
        only, excluded = (
            None if lists is None else [lists[row] for row in rows]
            for lists in (self.only, self.excluded)
        )
        return AllowedItems(self.num_items, self.shared, only, excluded)

    def add_to_seen(self, seen: Sequence[np.ndarray | Sequence[int]]) -> list[Items]:
        """Return the seen items that the shared mask allows, and those excluded per history."""
        excluded = self.excluded or [np.empty(0, dtype=np.int64)] * len(seen)
        joined = []
        for one, other in zip(seen, excluded, strict=True):
            items = np.concatenate([np.asarray(one, dtype=np.int64), other])
            items = items[(items >= 0) & (items < self.num_items)]
            joined.append(items if self.shared is None else items[self.shared[items]])
        return joined

    def list_items(self, seen: Sequence[np.ndarray | Sequence[int]] | None) -> list[Items]:
        """Return the items of every list in order, for histories with a list each.

        Args:
            seen: items that may not be listed either, of every history; None: none.
        """
        listed = []
        for row, items in enumerate(self.only or ()):
            unlisted = [] if seen is None else [np.asarray(seen[row], dtype=np.int64)]
            if self.excluded is not None:
                unlisted.append(self.excluded[row])
            items = np.unique(items)
            items = items[(items >= 0) & (items < self.num_items)]
            if unlisted:
                items = np.setdiff1d(items, np.concatenate(unlisted), assume_unique=False)
            listed.append(items if self.shared is None else items[self.shared[items]])
        return listed

    def get_mask(self, num_rows: int, start: int, stop: int) -> Bool[Tensor, "B tile"]:
        """Return a mask of the items ``start`` to ``stop - 1``, True where one is allowed."""
        shape = (num_rows, stop - start)
        mask = np.ones(shape, dtype=bool)
        if self.only is not None:
            mask[:] = False
            mask[_find_pairs(self.only, start, stop)] = True
        if self.excluded is not None:
            mask[_find_pairs(self.excluded, start, stop)] = False
        if self.shared is not None:
            mask &= self.shared[start:stop]
        return torch.from_numpy(mask)


def _find_pairs(
    lists: Sequence[Items], start: int, stop: int
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """Return rows and columns of the listed items that lie in a tile."""
    rows = np.repeat(np.arange(len(lists)), [len(items) for items in lists])
    items = np.concatenate([np.empty(0, dtype=np.int64), *lists])
    inside = (items >= start) & (items < stop)
    return rows[inside], items[inside] - start
