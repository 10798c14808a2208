"""A ranker from a sparse graph between items, queried with the last items of a history."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from seqrec.baselines.matrices import HistoryWeights, weighted_history_matrix
from seqrec.ranking.ranker import Ranker, ScoreTile

Preprocess = Callable[[Int[np.ndarray, " T"]], Int[np.ndarray, " T"]]


class ItemGraph(Ranker):
    """Scores items by the edges to them from the items of a history.

    The items of a history are weighted by their distance from its end. Ties are ordered by
    popularity.
    """

    scores_items_by_items = True

    def __init__(
        self,
        name: str,
        edges: csr_array,
        tie_breaker: Float[np.ndarray, " I"],
        *,
        get_weights: HistoryWeights,
        item_bias: Float[np.ndarray, " I"] | None = None,
        max_steps: int | None = None,
        preprocess: Preprocess = lambda history: history,
    ) -> None:
        """Store the graph.

        Args:
            name: name of the baseline.
            edges: float64 weights from item to item.
            tie_breaker: added to the scores to order ties.
            get_weights: weights of the items of histories.
            item_bias: added to every edge, absent ones too, to the items.
            max_steps: number of last items of a history that are used; None: all.
            preprocess: applied to a history first.
        """
        self.name = name
        self.num_items = len(tie_breaker)
        self._get_weights = get_weights
        self.max_steps = max_steps
        self._preprocess = preprocess
        self._edges = edges
        self._edges_to: dict[tuple[int, int], csr_array] = {(0, self.num_items): edges}
        self._tie_breaker = tie_breaker
        self._item_bias = item_bias

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """Return the edges summed over a history's items; popularity breaks ties."""
        matrix = weighted_history_matrix(
            [self._preprocess(history) for history in histories],
            self.num_items,
            self._get_weights,
            self.max_steps,
        )
        weight_sums = matrix.sum(axis=1)[:, None]

        def score_tile(start: int, stop: int) -> Float[torch.Tensor, "B tile"]:
            if (start, stop) not in self._edges_to:
                self._edges_to[start, stop] = self._edges[:, start:stop]
            scores = (matrix @ self._edges_to[start, stop]).toarray()
            scores += self._tie_breaker[start:stop]
            if self._item_bias is not None:
                scores += weight_sums * self._item_bias[start:stop]
            return torch.from_numpy(scores)

        return score_tile
