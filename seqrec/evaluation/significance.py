"""Whether a difference between two models is more than luck of the users drawn."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from seqrec.errors import SeqRecError

NUMBERS_HELD = 2**22


class PairedTest(NamedTuple):
    """The verdict of a paired test."""

    difference: float
    """Mean over users of the first minus the second."""
    p_value: float
    """Two-sided."""
    num_users: int


def paired_randomization(
    a: Float[np.ndarray, " U"], b: Float[np.ndarray, " U"], *, num_draws: int = 10_000, seed: int
) -> PairedTest:
    """Tests the mean difference of two models' per-user scores by flipping its signs at random.

    If the models are alike, each user's difference is as likely with either sign. The p-value is
    ``(1 + draws at least as extreme) / (1 + num_draws)``, which keeps its level for any number
    of draws. Draws that equal the observed mean up to float error are extreme.

    Source: Fisher 1935, "The Design of Experiments"; Smucker, Allan and Carterette 2007, CIKM,
        for its use on per-query scores; Phipson and Smyth 2010 for the added 1.
    """
    if len(a) != len(b):
        raise SeqRecError(f"{len(a)} users against {len(b)}: score the same users twice")
    differences = _scores(a) - _scores(b)
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
    return PairedTest(float(differences.mean()), (1 + extreme) / (1 + num_draws), len(differences))


def bootstrap_interval(
    values: Float[np.ndarray, " U"],
    *,
    num_draws: int = 10_000,
    seed: int,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean over users, of scores or of differences.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3.
    """
    values = _scores(values)
    rng = np.random.default_rng(seed)
    means = [
        values[rng.integers(0, len(values), size=(draws, len(values)))].mean(axis=1)
        for draws in _chunks(num_draws, len(values))
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of a family, adjusted so that ``< level`` keeps the family's error at the level.

    Source: Holm 1979: the i-th smallest of ``m`` is multiplied by ``m - i + 1``, never falls
        below a smaller one's result, and stops at 1.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(np.asarray(p_values)[order] * factors)
    return np.minimum(adjusted, 1).tolist()


def _scores(values: np.ndarray) -> Float[np.ndarray, " U"]:
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0 or not np.isfinite(values).all():
        raise SeqRecError("per-user scores are empty or hold NaN: evaluate at least one user")
    return values


def _chunks(num_draws: int, width: int) -> Iterator[int]:
    """Counts that sum to ``num_draws``; ``count * width`` numbers may be held at once."""
    size = max(1, NUMBERS_HELD // max(width, 1))
    for start in range(0, num_draws, size):
        yield min(size, num_draws - start)
