"""EASE: a linear model from the items of a history to all items, solved in closed form."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.baselines.matrices import history_matrix, training_matrix, without_repeats
from seqrec.baselines.popularity import tie_breaker
from seqrec.data.histories import Histories
from seqrec.errors import SeqRecError
from seqrec.ranking.ranker import Ranker, ScoreTile

MAX_ITEMS = 24_000
"""Largest catalog: its dense float32 matrix takes 2.1 GiB, and two exist at once."""
MAX_DOUBLE_ITEMS = 8_192
"""Largest catalog that is solved in float64."""


class EASE(Ranker):
    """A linear model that predicts each item of a user from the user's other items.

    Ties are ordered by popularity.

    Source: Steck 2019, arXiv:1905.03375. The decay over the history is ours; 1 gives the paper's.
    """

    name = "ease"
    scores_items_by_items = True

    def __init__(
        self,
        histories: Histories,
        num_items: int,
        *,
        l2: float = 1000.0,
        history_decay: float = 0.7,
    ) -> None:
        """Fit the model.

        Args:
            histories: interactions; the training part is used.
            num_items: catalog size.
            l2: weight of the L2 penalty.
            history_decay: factor of an item's weight for every step back in the history.

        Raises:
            SeqRecError: the catalog is too large for dense matrices, or ``l2`` is too small.
        """
        if num_items > MAX_ITEMS:
            raise SeqRecError(
                f"ease: needs dense matrices of {num_items:,} x {num_items:,} items; catalogs up "
                f"to {MAX_ITEMS:,} items are fitted, take item-knn instead"
            )
        self.num_items = num_items
        self.history_decay = history_decay
        matrix = training_matrix(histories, num_items)
        dtype = torch.float64 if num_items <= MAX_DOUBLE_ITEMS else torch.float32
        gram = (matrix.T @ matrix).tocsr()
        weights = ease_weights(torch.from_numpy(gram.toarray()).to(dtype), l2)
        self._weights = weights.float().contiguous()  # rows are read; the solver returns columns
        self._tie_breaker = torch.from_numpy(tie_breaker(histories, num_items)).float()

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """Return the weights summed over a history's items, each at its last occurrence."""
        distinct = [without_repeats(history) for history in histories]
        matrix = history_matrix(distinct, self.num_items, decay=self.history_decay)
        scores = F.embedding_bag(
            torch.from_numpy(matrix.indices).long(),
            self._weights,
            torch.from_numpy(matrix.indptr[:-1]).long(),
            per_sample_weights=torch.from_numpy(matrix.data).float(),
            mode="sum",
        )
        scores += self._tie_breaker
        return lambda start, stop: scores[:, start:stop]


def ease_weights(gram: Float[Tensor, "I I"], l2: float) -> Float[Tensor, "I I"]:
    """Return the weights ``B`` of zero diagonal that minimise ``|X - XB|^2 + l2 |B|^2``.

    They equal ``-P / diag(P)`` off the diagonal, where ``P`` is the inverse of ``gram + l2``
    (equation 8). ``gram``, which is ``X.T @ X``, is overwritten.

    Raises:
        SeqRecError: ``gram + l2`` cannot be inverted.
    """
    gram.diagonal().add_(l2)
    factor, failed = torch.linalg.cholesky_ex(gram)
    if failed:
        raise SeqRecError(f"ease: l2={l2}: too small to solve with; raise it")
    del gram
    inverse = torch.cholesky_inverse(factor)
    inverse /= -inverse.diagonal().clone()
    return inverse.fill_diagonal_(0)
