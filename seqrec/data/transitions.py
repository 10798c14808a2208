"""Transition counts: pairs of items in the training part, weighted by their distance."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN

MERGED_EDGES = 1 << 22
"""Minimum number of pending edges before they are merged into the sums."""


class Transitions(NamedTuple):
    """A sparse matrix of transitions; item ``i`` has the edges ``first_edge[i]:first_edge[i + 1]``,
    sorted by target."""

    first_edge: Int[np.ndarray, " I+1"]
    target: Int[np.ndarray, " E"]
    weight: Float[np.ndarray, " E"]
    """An item ``d`` steps after another adds the weight of distance ``d``."""
    leaving: Float[np.ndarray, " I"]
    """The weight of all edges of an item, including those dropped by ``max_edges``."""


def count_transitions(
    parts: Iterable[Histories],
    num_items: int,
    *,
    distance_weights: Sequence[float],
    max_edges: int | None = None,
) -> Transitions:
    """Count the transitions between the training interactions of every user.

    Args:
        parts: histories of different users.
        num_items: the catalog's size.
        distance_weights: weight of a transition by its distance, from 1 to the largest that counts.
        max_edges: number of the heaviest edges that an item keeps; ties keep the lowest target.
            All edges if absent.
    """
    edges = _Edges(num_items)
    for histories in parts:
        in_training = histories.split == TRAIN
        items = histories.items[in_training].astype(np.int64)
        users = np.repeat(np.arange(len(histories.offsets) - 1), np.diff(histories.offsets))
        users = users[in_training]
        for distance, weight in enumerate(distance_weights, start=1):
            is_pair = users[distance:] == users[:-distance]
            pairs = items[:-distance][is_pair] * num_items + items[distance:][is_pair]
            edges.add(pairs, weight)
    return edges.transitions(max_edges)


class _Edges:
    """Summed weights of pairs of items."""

    def __init__(self, num_items: int) -> None:
        self.num_items = num_items
        self.pairs = np.empty(0, dtype=np.int64)
        self.weights: Float[np.ndarray, " E"] = np.empty(0)
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._num_pending = 0

    def add(self, pairs: Int[np.ndarray, " N"], weight: float) -> None:
        """Add ``weight`` to each pair, ``first * num_items + second``."""
        pairs, counts = np.unique(pairs, return_counts=True)
        self._pending.append((pairs, counts * weight))
        self._num_pending += len(pairs)
        if self._num_pending > max(MERGED_EDGES, len(self.pairs)):
            self._merge()

    def _merge(self) -> None:
        parts = [(self.pairs, self.weights), *self._pending]
        pairs, weights = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        self.pairs, position = np.unique(pairs, return_inverse=True)
        self.weights = np.bincount(position, weights, minlength=len(self.pairs))
        self._pending, self._num_pending = [], 0

    def transitions(self, max_edges: int | None) -> Transitions:
        """Return all transitions, or the heaviest of every item."""
        self._merge()
        source, target = np.divmod(self.pairs, self.num_items)
        weight: np.ndarray = self.weights
        leaving = np.bincount(source, weight, minlength=self.num_items)
        if max_edges is not None:
            order = np.lexsort((target, -weight, source))
            first = np.searchsorted(source, np.arange(self.num_items))
            kept = np.sort(order[np.arange(len(order)) - first[source] < max_edges])
            source, target, weight = source[kept], target[kept], weight[kept]
        first_edge = np.searchsorted(source, np.arange(self.num_items + 1))
        return Transitions(first_edge, target.astype(np.int32), weight.astype(np.float32), leaving)
