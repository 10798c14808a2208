"""Matrix factorization by ``implicit``, and how it answers a history that it was not fitted to."""

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
"""Directions in which means vary less than this share of the most are left out of a fit."""

FoldIn = Callable[[csr_array], Float[np.ndarray, "B D"]]


class Factorization(Ranker):
    """Items by the product of their vectors with a history's.

    Equals, such as all items after an empty history, are ordered by popularity.
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
        """Hold what was fitted.

        Args:
            name: of the baseline.
            item_factors: the items' vectors.
            fold_in: from weighted histories, as ``history_matrix`` makes them, to their vectors.
            tie_breaker: added to the scores, to order equals.
            history_decay: of an item's weight, for every step back in the history.
        """
        self.name = name
        self.num_items = len(tie_breaker)
        self.history_decay = history_decay
        self._item_factors = torch.from_numpy(item_factors)
        self._fold_in = fold_in
        self._tie_breaker = torch.from_numpy(tie_breaker).float()

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """Products of the histories' vectors with the items'."""
        read = [without_repeats(history) for history in histories]
        asked = history_matrix(read, self.num_items, decay=self.history_decay).astype(np.float32)
        asked.eliminate_zeros()
        vectors = torch.from_numpy(self._fold_in(asked))

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
    """Weighted least squares between users' and items' vectors, in turns.

    A history's vector is what its user's would be, solved for exactly with the items' held fixed.

    Args:
        histories: of which the training part is fitted to.
        num_items: the catalog's size.
        factors: width of the vectors.
        regularization: of the vectors' squares.
        alpha: how much an interaction weighs, against 1 of a pair without one.
        iterations: turns.
        history_decay: of an item's weight, for every step back in the history.

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

    def fold_in(asked: csr_array) -> Float[np.ndarray, "B D"]:
        with _implicit("als"):
            return model.recalculate_user(np.arange(asked.shape[0]), csr_matrix(asked))

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
    """Vectors by which a user's items score above others, drawn by popularity.

    A history's vector is a linear map of the mean of its items' vectors: the map that, over
    training, comes closest to the users' own vectors (least squares).

    Args:
        histories: of which the training part is fitted to.
        num_items: the catalog's size.
        factors: width of the vectors.
        learning_rate: of the gradient's steps.
        regularization: of the vectors' squares.
        iterations: passes over the interactions; on one thread, so that they can be repeated.
        history_decay: of an item's weight, for every step back in the history.

    Source: Rendle et al. 2009, arXiv:1205.2618; folding in is ours.
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

    def fold_in(asked: csr_array) -> Float[np.ndarray, "B D"]:
        vectors = mean_vectors(asked, directions) @ linear_map
        is_known = np.diff(asked.indptr) > 0
        return np.column_stack([vectors, is_known]).astype(np.float32)

    return Factorization(
        "bpr",
        model.item_factors,
        fold_in,
        tie_breaker(histories, num_items),
        history_decay=history_decay,
    )


def mean_vectors(weights: csr_array, vectors: Float[np.ndarray, "I D"]) -> Float[np.ndarray, "B D"]:
    """The weighted mean of the items' vectors in every row; zeros for an empty one."""
    total = np.asarray(weights.sum(axis=1))[:, None]
    return (weights @ vectors) / np.where(total > 0, total, 1)


@contextmanager
def _implicit(name: str) -> Iterator[None]:
    """Where ``implicit`` works: its mistakes in one line, BLAS kept out of its own threads."""
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
