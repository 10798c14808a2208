"""Significance of the difference between two models, over users."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from seqrec.errors import SeqRecError

NUMBERS_HELD = 2**22


class PairedTest(NamedTuple):
    """Result of a paired test."""

    difference: float
    """Mean over users of the first minus the second."""
    p_value: float
    """Two-sided."""
    num_users: int


def paired_randomization(
    a: Float[np.ndarray, " Q"],
    b: Float[np.ndarray, " Q"],
    *,
    users: Int[np.ndarray, " Q"] | None = None,
    num_draws: int = 10_000,
    seed: int,
) -> PairedTest:
    """Test the mean difference of two models' per-user scores by flipping its signs at random.

    If the models are equal, each user's difference has either sign with equal probability; all
    queries of a user take one sign together. The p-value is
    ``(1 + draws at least as extreme) / (1 + num_draws)``, which keeps its level for any number
    of draws. Draws that equal the observed mean up to float error are extreme.

    Source: Fisher 1935, "The Design of Experiments"; Smucker, Allan and Carterette 2007, CIKM,
        for its use on per-query scores; Phipson and Smyth 2010 for the added 1.
    """
    if len(a) != len(b):
        raise SeqRecError(f"{len(a)} users against {len(b)}: score the same users with both models")
    queries = _scores(a) - _scores(b)
    differences, _ = _by_user(queries, users)
    observed = differences.sum()
    candidates = differences[differences != 0]
    threshold = abs(observed) - 1e-9 * np.abs(candidates).sum()
    rng = np.random.default_rng(seed)
    extreme = 0
    for draws in _chunks(num_draws, len(candidates)):
        bits = rng.integers(0, 256, size=(draws, -(-len(candidates) // 8)), dtype=np.uint8)
        is_flipped = np.unpackbits(bits, axis=1, count=len(candidates))
        sums = observed - 2 * (is_flipped.astype(np.float64) @ candidates)
        extreme += int((np.abs(sums) >= threshold).sum())
    return PairedTest(float(queries.mean()), (1 + extreme) / (1 + num_draws), len(differences))


def bootstrap_interval(
    values: Float[np.ndarray, " Q"],
    *,
    users: Int[np.ndarray, " Q"] | None = None,
    num_draws: int = 10_000,
    seed: int,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return ``bootstrap_intervals`` of one column."""
    (interval,) = bootstrap_intervals(
        _scores(values)[:, None],
        users=users,
        num_draws=num_draws,
        seed=seed,
        confidence=confidence,
    )
    return interval


def bootstrap_intervals(
    values: Float[np.ndarray, "Q M"],
    *,
    users: Int[np.ndarray, " Q"] | None = None,
    num_draws: int = 10_000,
    seed: int,
    confidence: float = 0.95,
) -> list[tuple[float, float]]:
    """Return percentile bootstrap intervals of means over queries, of scores or differences.

    Users are drawn with all of their queries; without ``users`` every query is a user. The draws
    are the same for all columns, and for all calls with the same number of users.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3.
    """
    sums, num_queries = _by_user(_scores(values), users)
    columns = np.column_stack([sums, num_queries])
    means = []
    for times in user_draws(len(columns), num_draws, seed):
        totals = times.astype(np.float64) @ columns
        means.append(totals[:, :-1] / totals[:, -1:])
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def user_draws(num_users: int, num_draws: int, seed: int) -> Iterator[Int[np.ndarray, "draws U"]]:
    """Yield bootstrap draws in chunks: the number of times that each draw contains each user."""
    rng = np.random.default_rng(seed)
    for draws in _chunks(num_draws, num_users):
        drawn = rng.integers(0, num_users, size=(draws, num_users), dtype=np.int32)
        drawn += np.arange(draws, dtype=np.int32)[:, None] * num_users
        times = np.bincount(drawn.ravel(), minlength=draws * num_users)
        yield times.reshape(draws, num_users)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of a family so that ``< level`` keeps its error rate at the level.

    Source: Holm 1979: the i-th smallest of ``m`` is multiplied by ``m - i + 1``, never falls
        below a smaller one's result, and stops at 1.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(np.asarray(p_values)[order] * factors)
    return np.minimum(adjusted, 1).tolist()


def _by_user(
    values: Float[np.ndarray, "Q *M"], users: Int[np.ndarray, " Q"] | None
) -> tuple[Float[np.ndarray, "U *M"], Int[np.ndarray, " U"]]:
    """Return the sum of every user's values, and their number."""
    if users is None:
        return values, np.ones(len(values), dtype=np.int64)
    known, user = np.unique(users, return_inverse=True)
    sums = np.zeros((len(known), *values.shape[1:]))
    np.add.at(sums, user, values)
    return sums, np.bincount(user)


def _scores(values: np.ndarray) -> Float[np.ndarray, " U"]:
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0 or not np.isfinite(values).all():
        raise SeqRecError("per-user scores are empty or hold NaN: evaluate at least one user")
    return values


def _chunks(num_draws: int, width: int) -> Iterator[int]:
    """Yield counts that sum to ``num_draws``, each of at most ``NUMBERS_HELD`` numbers."""
    size = max(1, NUMBERS_HELD // max(width, 1))
    for start in range(0, num_draws, size):
        yield min(size, num_draws - start)
