"""Packed batches, one class a kind of objective; their arrays are NumPy's or torch's."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int64


class PackedBatch(NamedTuple):
    """Rows of windows, side by side."""

    input_ids: Int[np.ndarray, "B T"]
    documents: Int[np.ndarray, "B T"]
    """Number of the window within its row, from 1; 0 is padding."""
    labels: Int[np.ndarray, "B T"]
    """The item that comes next, in catalog rows; ``ignore_index`` where nothing is learned."""
    label_weight: Float[np.ndarray, "B T"]
    total_weight: float
    """What a sum over the batch's targets is divided by: their weight, unless the batch is one
    process's part of a larger one."""
    features: Int[np.ndarray, "B T"] | None = None
    """The token of a learned feature that comes next; ``ignore_index`` where there is none."""
    num_features: float = 0.0
    """What a sum over them is divided by."""
    sources: Int[np.ndarray, "B T"] | None = None
    """The row of the log that every position shows, -1 for padding; where it is asked for."""
    times: Int64[np.ndarray, "B T 2"] | None = None
    """When the event of every position was, and to when gaps are counted there, in microseconds
    since 1970; for models with a time bias."""


class PairBatch(NamedTuple):
    """Packed histories, places in them, and what is asked there."""

    input_ids: Int[np.ndarray, "B T"]
    documents: Int[np.ndarray, "B T"]
    """Number of the window within its row, from 1; 0 is padding."""
    labels: Int[np.ndarray, "B T"]
    """The next item of the history that is shown; ``ignore_index`` where it ends."""
    label_weight: Float[np.ndarray, "B T"]
    total_weight: float
    """Of the labels, of all processes together, over the number of processes."""
    rows: Int[np.ndarray, " N"]
    """Of the places, in the packed histories."""
    columns: Int[np.ndarray, " N"]
    candidates: Int[np.ndarray, "N K"]
    """Items asked for after each place, padded with item 0."""
    next_items: Int[np.ndarray, " N"]
    """The item that the history went on with in the log, where that is known; else -1."""
    pairs: Int[np.ndarray, " P"]
    """Which pairs these are, by their number in the file."""
    chosen_at: Int[np.ndarray, "P L"]
    """Where each title of the chosen answer stands in ``asked``, flat; -1 is padding."""
    rejected_at: Int[np.ndarray, "P R L"]
    unrelated_at: Int[np.ndarray, "P L"]
    pair_weight: Float[np.ndarray, " P"]
    total_pair_weight: float
    """Of the pairs, of all processes together, over the number of processes."""


class RewardBatch(NamedTuple):
    """Packed histories with their ratings, and the answers that are judged at some places."""

    input_ids: Int[np.ndarray, "B T"]
    ratings: Int[np.ndarray, "B T"]
    """Rows of the rating embedding."""
    documents: Int[np.ndarray, "B T"]
    """Number of the window within its row, from 1; 0 is padding."""
    rows: Int[np.ndarray, " S"]
    """Of the places, in the packed histories."""
    columns: Int[np.ndarray, " S"]
    slates: Int[np.ndarray, "S K"]
    """Titles of each answer; -1 behind its end."""
    labels: Float[np.ndarray, " S"]
    """How good it is, from 0 to 1."""
    events: Int[np.ndarray, " S"]
    """Which of all answers it is."""
    total_weight: float
    """Of the answers, of all processes together, over the number of processes."""
