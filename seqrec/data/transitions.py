"""How often, and how soon, one title followed another in the training part of a log."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN

MERGED_EDGES = 1 << 22
"""Edges that wait, at least, before they are merged with those that were."""


class Transitions(NamedTuple):
    """A sparse matrix of what followed what: the edges of item ``i``, by the item that they lead
    to, are ``first_edge[i]:first_edge[i + 1]``."""

    first_edge: Int[np.ndarray, " I+1"]
    target: Int[np.ndarray, " E"]
    weight: Float[np.ndarray, " E"]
    """An item ``d`` steps after another adds ``step_decay ** (d - 1)``."""
    leaving: Float[np.ndarray, " I"]
    """The weight of all edges of an item, those that were not kept among them."""


def count_transitions(
    parts: Iterable[Histories],
    num_items: int,
    *,
    max_steps: int,
    step_decay: float,
    max_edges: int | None = None,
) -> Transitions:
    """The transitions of training interactions up to ``max_steps`` apart.

    Args:
        parts: histories of different users.
        num_items: the catalog's size.
        max_steps: how far apart two interactions of a user may stand.
        step_decay: what a transition counts, relative to one that is a step shorter.
        max_edges: how many edges an item keeps, the heaviest; among equals, those that lead to
            the lowest item. All of them if absent.
    """
    edges = _Edges(num_items)
    for histories in parts:
        in_training = histories.split == TRAIN
        items = histories.items[in_training].astype(np.int64)
        users = np.repeat(np.arange(len(histories.offsets) - 1), np.diff(histories.offsets))
        users = users[in_training]
        for distance in range(1, max_steps + 1):
            is_pair = users[distance:] == users[:-distance]
            pairs = items[:-distance][is_pair] * num_items + items[distance:][is_pair]
            edges.add(pairs, step_decay ** (distance - 1))
    return edges.transitions(max_edges)


class _Edges:
    """Weights of pairs of items, summed."""

    def __init__(self, num_items: int) -> None:
        self.num_items = num_items
        self.pairs = np.empty(0, dtype=np.int64)
        self.weights: Float[np.ndarray, " E"] = np.empty(0)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._num_waiting = 0

    def add(self, pairs: Int[np.ndarray, " N"], weight: float) -> None:
        """Count each pair, ``first * num_items + second``, so much."""
        pairs, counts = np.unique(pairs, return_counts=True)
        self._waiting.append((pairs, counts * weight))
        self._num_waiting += len(pairs)
        if self._num_waiting > max(MERGED_EDGES, len(self.pairs)):
            self._merge()

    def _merge(self) -> None:
        parts = [(self.pairs, self.weights), *self._waiting]
        pairs, weights = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        self.pairs, place = np.unique(pairs, return_inverse=True)
        self.weights = np.bincount(place, weights, minlength=len(self.pairs))
        self._waiting, self._num_waiting = [], 0

    def transitions(self, max_edges: int | None) -> Transitions:
        """All of them, or the heaviest of every item."""
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
