"""Matrix factorization by ``implicit``, with fold-in of unseen histories."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array, csr_matrix

from seqrec.baselines.matrices import history_matrix, training_matrix, without_repeats
from seqrec.baselines.popularity import tie_breaker
from seqrec.data.histories import Histories
from seqrec.errors import SeqRecError
from seqrec.ranking.ranker import Ranker, ScoreTile

SEED = 0
SMALLEST_DIRECTION = 1e-3
"""Relative cutoff of singular values in the least-squares fit."""

FoldIn = Callable[[csr_array], Float[np.ndarray, "B D"]]


class Factorization(Ranker):
    """Ranks items by the product of item vectors and the vector of a history.

    Ties, such as all items after an empty history, are ordered by popularity.
    """

    def __init__(
        self,
        name: str,
        item_factors: Float[np.ndarray, "I D"],
        fold_in: FoldIn,
        tie_breaker: Float[np.ndarray, " I"],
        *,
        history_decay: float,
    ) -> None:
        """Store the fitted factors.

        Args:
            name: name of the baseline.
            item_factors: item vectors.
            fold_in: function from weighted histories, as of ``history_matrix``, to their vectors.
            tie_breaker: added to the scores to order ties.
            history_decay: factor of an item's weight for every step back in the history.
        """
        self.name = name
        self.num_items = len(tie_breaker)
        self.history_decay = history_decay
        self._item_factors = torch.from_numpy(item_factors)
        self._fold_in = fold_in
        self._tie_breaker = torch.from_numpy(tie_breaker).float()

    def item_vectors(self) -> Float[np.ndarray, "I D"]:
        return self._item_factors.numpy()

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """Return the products of history and item vectors."""
        distinct = [without_repeats(history) for history in histories]
        matrix = history_matrix(distinct, self.num_items, decay=self.history_decay)
        matrix = matrix.astype(np.float32)
        matrix.eliminate_zeros()
        vectors = torch.from_numpy(self._fold_in(matrix))

        def score_tile(start: int, stop: int) -> Float[torch.Tensor, "B tile"]:
            scores = vectors @ self._item_factors[start:stop].T
            return scores + self._tie_breaker[start:stop]

        return score_tile


def als(
    histories: Histories,
    num_items: int,
    *,
    factors: int = 128,
    regularization: float = 0.01,
    alpha: float = 10.0,
    iterations: int = 15,
    history_decay: float = 0.6,
) -> Factorization:
    """Fit user and item vectors by alternating weighted least squares.

    The vector of a history is the exact solution for a new user with fixed item vectors.

    Args:
        histories: interactions; the training part is used.
        num_items: catalog size.
        factors: width of the vectors.
        regularization: weight of the L2 penalty on the vectors.
        alpha: weight of an interaction; a pair without one has weight 1.
        iterations: number of alternations.
        history_decay: factor of an item's weight for every step back in the history.

    Source: Hu, Koren and Volinsky 2008; ``implicit`` takes ``alpha`` for their ``1 + alpha``.
    """
    with _implicit("als"):
        from implicit.cpu.als import AlternatingLeastSquares

        model = AlternatingLeastSquares(
            factors=factors,
            regularization=regularization,
            alpha=alpha,
            iterations=iterations,
            random_state=SEED,
        )
        model.fit(csr_matrix(training_matrix(histories, num_items)), show_progress=False)

    def fold_in(matrix: csr_array) -> Float[np.ndarray, "B D"]:
        with _implicit("als"):
            return model.recalculate_user(np.arange(matrix.shape[0]), csr_matrix(matrix))

    return Factorization(
        "als",
        model.item_factors,
        fold_in,
        tie_breaker(histories, num_items),
        history_decay=history_decay,
    )


def bpr(
    histories: Histories,
    num_items: int,
    *,
    factors: int = 64,
    learning_rate: float = 0.05,
    regularization: float = 0.01,
    iterations: int = 100,
    history_decay: float = 1.0,
) -> Factorization:
    """Fit vectors that score a user's items above negatives drawn by popularity.

    The vector of a history is a linear map of the mean of its item vectors. The map is the
    least-squares fit to the user vectors of training.

    Args:
        histories: interactions; the training part is used.
        num_items: catalog size.
        factors: width of the vectors.
        learning_rate: step size of the gradient descent.
        regularization: weight of the L2 penalty on the vectors.
        iterations: passes over the interactions, on one thread for reproducibility.
        history_decay: factor of an item's weight for every step back in the history.

    Source: Rendle et al. 2009, arXiv:1205.2618; fold-in is ours.
    """
    matrix = training_matrix(histories, num_items)
    with _implicit("bpr"):
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        model = BayesianPersonalizedRanking(
            factors=factors,
            learning_rate=learning_rate,
            regularization=regularization,
            iterations=iterations,
            num_threads=1,
            random_state=SEED,
        )
        model.fit(csr_matrix(matrix), show_progress=False)
    directions = model.item_factors[:, :factors]
    is_fitted = np.diff(matrix.indptr) > 0
    means = mean_vectors(matrix, directions.astype(np.float64))[is_fitted]
    users = model.user_factors[is_fitted, :factors]
    linear_map = np.linalg.lstsq(means, users, rcond=SMALLEST_DIRECTION)[0]

    def fold_in(matrix: csr_array) -> Float[np.ndarray, "B D"]:
        vectors = mean_vectors(matrix, directions) @ linear_map
        is_known = np.diff(matrix.indptr) > 0
        return np.column_stack([vectors, is_known]).astype(np.float32)

    return Factorization(
        "bpr",
        model.item_factors,
        fold_in,
        tie_breaker(histories, num_items),
        history_decay=history_decay,
    )


def mean_vectors(weights: csr_array, vectors: Float[np.ndarray, "I D"]) -> Float[np.ndarray, "B D"]:
    """Return the weighted mean of the item vectors of every row; zeros for an empty row."""
    total = np.asarray(weights.sum(axis=1))[:, None]
    return (weights @ vectors) / np.where(total > 0, total, 1)


@contextmanager
def _implicit(name: str) -> Iterator[None]:
    """Context for ``implicit``: errors in one line, BLAS limited to one thread."""
    try:
        from implicit.recommender_base import ModelFitError
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise SeqRecError(
            f"{name}: needs the package implicit; install it with pip install 'seqrec[baselines]'"
        ) from error
    try:
        with threadpool_limits(1, "blas"):
            yield
    except (ModelFitError, ValueError) as error:
        raise SeqRecError(
            f"{name}: could not be fitted ({' '.join(str(error).split())}); "
            "raise regularization, or lower a learning_rate"
        ) from error
