"""A sparse graph between items, asked from the last items of a history."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from seqrec.baselines.matrices import history_matrix
from seqrec.ranking.ranker import Ranker, ScoreTile

Read = Callable[[Int[np.ndarray, " T"]], Int[np.ndarray, " T"]]


class ItemGraph(Ranker):
    """Items weighted by the edges that lead to them from the items of a history.

    The edges that leave the item ``steps`` before the last one count ``history_decay ** steps``.
    Equals are ordered by popularity.
    """

    def __init__(
        self,
        name: str,
        edges: csr_array,
        tie_breaker: Float[np.ndarray, " I"],
        *,
        history_decay: float,
        max_steps: int | None = None,
        read: Read = lambda history: history,
    ) -> None:
        """Hold the graph.

        Args:
            name: of the baseline.
            edges: float64, from item to item.
            tie_breaker: added to the scores, to order equals.
            history_decay: of an edge's weight, for every step back in the history.
            max_steps: last items of a history that are asked from; None: all.
            read: what of a history is asked from, before that.
        """
        self.name = name
        self.num_items = len(tie_breaker)
        self.history_decay = history_decay
        self.max_steps = max_steps
        self._read = read
        self._edges = edges
        self._edges_to: dict[tuple[int, int], csr_array] = {(0, self.num_items): edges}
        self._tie_breaker = tie_breaker

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """Edges summed over a history's items, plus a popularity that only breaks ties."""
        asked = history_matrix(
            [self._read(history) for history in histories],
            self.num_items,
            decay=self.history_decay,
            max_steps=self.max_steps,
        )

        def score_tile(start: int, stop: int) -> Float[torch.Tensor, "B tile"]:
            if (start, stop) not in self._edges_to:
                self._edges_to[start, stop] = self._edges[:, start:stop]
            scores = (asked @ self._edges_to[start, stop]).toarray()
            scores += self._tie_breaker[start:stop]
            return torch.from_numpy(scores)

        return score_tile
