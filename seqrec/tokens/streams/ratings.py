"""Rated events of a log, and ratings as rows of an embedding."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN

START, MISSING = 0, 1
"""Rows of the rating embedding: the start, and an item without a rating."""


FIRST_LEVEL = 2
"""Row of the lowest rating."""


MAX_LEVELS = 64


def rating_levels(ratings: Float[np.ndarray, " N"]) -> list[float]:
    """Return the distinct ratings of a log in order, or ``MAX_LEVELS`` quantiles if more."""
    known = np.unique(ratings[~np.isnan(ratings)])
    if len(known) > MAX_LEVELS:
        known = np.unique(np.nanquantile(ratings, np.linspace(0, 1, MAX_LEVELS)))
    return known.tolist()


def rating_rows(ratings: Float[np.ndarray, " N"], levels: Sequence[float]) -> Int[np.ndarray, " N"]:
    """Return the embedding row of every rating: that of the nearest level, or ``MISSING``."""
    steps = np.asarray(levels, dtype=np.float64)
    nearest = np.searchsorted((steps[1:] + steps[:-1]) / 2, ratings, side="right")
    return np.where(np.isnan(ratings), MISSING, nearest + FIRST_LEVEL).astype(np.int64)


@dataclass(frozen=True)
class RatedEvents:
    """The training parts of all users, concatenated."""

    items: Int[np.ndarray, " N"]
    ratings: Float[np.ndarray, " N"]
    """NaN where there is none."""
    users: Int[np.ndarray, " N"]
    starts: Int[np.ndarray, " U"]
    """The first event of every user."""
    ends: Int[np.ndarray, " U"]
    """One past the last."""

    @classmethod
    def of(cls, histories: Histories) -> "RatedEvents":
        """Return the training part of histories with a rating column."""
        in_training = histories.split == TRAIN
        so_far = np.concatenate([[0], np.cumsum(in_training)])[histories.offsets]
        users = np.repeat(np.arange(len(so_far) - 1), np.diff(so_far))
        return cls(
            histories.items[in_training].astype(np.int64),
            histories.columns["rating"][in_training],
            users,
            so_far[:-1],
            so_far[1:],
        )

    @cached_property
    def is_rated(self) -> Bool[np.ndarray, " N"]:
        """True for the events that a model predicts."""
        return ~np.isnan(self.ratings)
