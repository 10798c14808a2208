"""Histories as sparse matrices: the training data, and weighted query histories."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN

HistoryWeights = Callable[[Int[np.ndarray, " M"], Int[np.ndarray, " M"]], Float[np.ndarray, " M"]]
"""Weights of the items of several histories, from the steps back to each item and the length of
its history."""


def training_matrix(histories: Histories, num_items: int) -> csr_array:
    """Return the users x items matrix: 1 where the user has the item in training."""
    lengths = np.diff(histories.offsets)
    in_training = histories.split == TRAIN
    users = np.repeat(np.arange(len(lengths)), lengths)[in_training]
    items = histories.items[in_training]
    ones = np.ones(len(items), dtype=np.float32)
    matrix = csr_array((ones, (users, items)), shape=(len(lengths), num_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def history_matrix(
    histories: Sequence[Int[np.ndarray, " T"]],
    num_items: int,
    *,
    decay: float,
    max_steps: int | None = None,
) -> csr_array:
    """Return the histories x items matrix of decayed recency weights.

    An item ``steps`` before the last one has the weight ``decay ** steps``.
    """
    return weighted_history_matrix(histories, num_items, decayed(decay), max_steps)


def weighted_history_matrix(
    histories: Sequence[Int[np.ndarray, " T"]],
    num_items: int,
    get_weights: HistoryWeights,
    max_steps: int | None = None,
) -> csr_array:
    """Return the histories x items matrix of weights.

    A row holds its last ``max_steps`` items, the last one first, repeated items repeatedly.
    Products are summed in this order, independently of the item numbers.
    """
    recent = [history[::-1][:max_steps] for history in histories]
    lengths = np.array([len(items) for items in recent], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    steps = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
    items = np.concatenate([np.empty(0, np.int64), *recent])
    weights = get_weights(steps, np.repeat(lengths, lengths))
    return csr_array((weights, items, starts), shape=(len(recent), num_items))


def decayed(decay: float) -> HistoryWeights:
    """Return the weights ``decay ** steps``."""
    return lambda steps, lengths: decay**steps


def without_repeats(history: Int[np.ndarray, " T"]) -> Int[np.ndarray, " T"]:
    """Return each item of a history once, at its last occurrence."""
    _, from_end = np.unique(history[::-1], return_index=True)
    return history[np.sort(len(history) - 1 - from_end)]
