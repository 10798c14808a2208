"""What followed what: first-order transitions, and a decayed graph over several steps."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int

from seqrec.baselines.popularity import item_counts
from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN
from seqrec.recommender import Ranker, ScoreTile

TIE_BREAKER = 1e-3
"""What popularity may add to a score, as a share of the smallest edge."""


MAX_SCORES = 2**24
"""Scores held at once: histories of a batch times items."""


class TransitionGraph(Ranker):
    """Items weighted by how often, and how soon, they followed the last items of a history.

    An item that stood ``d`` steps after another adds ``step_decay ** (d - 1)`` to the edge
    between them, for ``d`` up to ``max_steps``; the edges that leave an item sum to 1. A history
    is answered with the edges that leave its last ``max_steps`` items, those of the item before
    the last weighted by ``step_decay``, and so on. Equals are ordered by popularity.
    """

    def __init__(
        self,
        name: str,
        histories: Histories,
        num_items: int,
        *,
        max_steps: int = 10,
        step_decay: float = 0.7,
    ) -> None:
        self.name = name
        self.num_items = num_items
        self.batch_size = max(1, min(self.batch_size, MAX_SCORES // num_items))
        self.max_steps = max_steps
        self.step_decay = step_decay
        counts = item_counts(histories, num_items)
        self._popularity = counts / (counts.sum() + 1)

        in_training = histories.split == TRAIN
        items = histories.items[in_training].astype(np.int64)
        owner = np.repeat(np.arange(len(histories.offsets) - 1), np.diff(histories.offsets))
        owner = owner[in_training]
        edges, weights = [], []
        for distance in range(1, max_steps + 1):
            same_user = owner[distance:] == owner[:-distance]
            pairs = items[:-distance][same_user] * num_items + items[distance:][same_user]
            pair, count = np.unique(pairs, return_counts=True)
            edges.append(pair)
            weights.append(count * step_decay ** (distance - 1))
        pair, inverse = np.unique(np.concatenate(edges), return_inverse=True)
        weight = np.bincount(inverse, np.concatenate(weights), minlength=len(pair))
        leaving = np.bincount(pair // num_items, weight, minlength=num_items)
        self._weights = weight / leaving[pair // num_items]
        self._targets = pair % num_items
        self._first_edge = np.searchsorted(pair, np.arange(num_items + 1) * num_items)

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """Edges summed over the last items, plus a popularity that only breaks ties."""
        smallest = self._weights.min(initial=1.0) * self.step_decay**self.max_steps
        scores = np.tile(self._popularity * smallest * TIE_BREAKER, (len(histories), 1))
        for row, history in enumerate(histories):
            for back, item in enumerate(history[: -self.max_steps - 1 : -1]):
                edges = slice(self._first_edge[item], self._first_edge[item + 1])
                scores[row, self._targets[edges]] += self._weights[edges] * self.step_decay**back
        table = torch.from_numpy(scores)
        return lambda start, stop: table[:, start:stop]


def first_order_transitions(histories: Histories, num_items: int) -> TransitionGraph:
    """The graph of direct successors, asked with the last item alone: a Markov chain's counts."""
    return TransitionGraph("transitions", histories, num_items, max_steps=1, step_decay=1.0)
