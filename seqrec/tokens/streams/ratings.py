"""Rated events of a log, and ratings as rows of an embedding."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN

START, MISSING = 0, 1
"""Rows of the rating embedding: what no title stands at, and a title without a rating."""


FIRST_LEVEL = 2
"""Row of the lowest rating."""


MAX_LEVELS = 64


def rating_levels(ratings: Float[np.ndarray, " N"]) -> list[float]:
    """The ratings that a log knows, in order; if they are many, that many quantiles of them."""
    known = np.unique(ratings[~np.isnan(ratings)])
    if len(known) > MAX_LEVELS:
        known = np.unique(np.nanquantile(ratings, np.linspace(0, 1, MAX_LEVELS)))
    return known.tolist()


def rating_rows(ratings: Float[np.ndarray, " N"], levels: Sequence[float]) -> Int[np.ndarray, " N"]:
    """The row of every rating's embedding: that of the nearest level, or of none."""
    steps = np.asarray(levels, dtype=np.float64)
    nearest = np.searchsorted((steps[1:] + steps[:-1]) / 2, ratings, side="right")
    return np.where(np.isnan(ratings), MISSING, nearest + FIRST_LEVEL).astype(np.int64)


@dataclass(frozen=True)
class RatedEvents:
    """The training parts of all users, end to end."""

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
        """What stands in the training part of histories that come with their ratings."""
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
        """The events that a model is asked about."""
        return ~np.isnan(self.ratings)
