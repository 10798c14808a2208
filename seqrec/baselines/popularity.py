"""Popularity baselines: the most frequent items of all training or of its last part."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from seqrec.data.histories import MISSING_TIME, Histories
from seqrec.data.splits import TRAIN
from seqrec.ranking.ranker import Ranker, ScoreTile

TIE_BREAKER = 1e-9
"""Largest amount that popularity adds to the score of another method."""


def popularity_shares(histories: Histories, num_items: int) -> Float[np.ndarray, " I"]:
    """Return the items' shares of the training interactions; their sum is less than 1."""
    counts = histories.item_counts(num_items)
    return counts / (counts.sum() + 1)


def tie_breaker(histories: Histories, num_items: int) -> Float[np.ndarray, " I"]:
    """Return a small addend for scores, by which popularity orders ties."""
    return popularity_shares(histories, num_items) * TIE_BREAKER


class Popularity(Ranker):
    """Recommends the most frequent items of training to every user."""

    name = "popularity"

    def __init__(self, histories: Histories, num_items: int) -> None:
        self.num_items = num_items
        counts: Float[np.ndarray, " I"] = histories.item_counts(num_items).astype(np.float32)
        self._counts = torch.from_numpy(counts)

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """Return the item counts, the same for every history."""
        return lambda start, stop: self._counts[start:stop].expand(len(histories), -1)


class RecentPopularity(Ranker):
    """Recommends the most frequent items of the last part of training to every user.

    Ties are ordered by popularity in all of training.
    """

    name = "recent-popularity"

    def __init__(self, histories: Histories, num_items: int, *, recent_share: float = 0.1) -> None:
        """Count recent interactions.

        Args:
            histories: interactions, with the column ``time`` if the log has times.
            num_items: catalog size.
            recent_share: share of the training interactions that count as recent.
        """
        self.num_items = num_items
        recent = histories.items[recent_interactions(histories, recent_share)]
        counts = np.bincount(recent, minlength=num_items)
        self._scores = torch.from_numpy(counts + popularity_shares(histories, num_items))
        in_training, times = histories.split == TRAIN, histories.columns.get("time")
        if times is not None:
            num_untimed = int((in_training & (times == MISSING_TIME)).sum())
            if 0 < num_untimed < in_training.sum():
                self.notes = [
                    f"{self.name}: {num_untimed:,} of {in_training.sum():,} training interactions "
                    "have no time and do not count"
                ]

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """Return the recent item counts, the same for every history."""
        return lambda start, stop: self._scores[start:stop].expand(len(histories), -1)


def recent_interactions(histories: Histories, share: float) -> Bool[np.ndarray, " N"]:
    """Return which interactions are the latest of the training part.

    With times, the latest ``share`` of all, including all interactions at the earliest time among
    them; interactions without a time are excluded. Without times, the latest ``share`` of each
    user's interactions, rounded up.
    """
    in_training = histories.split == TRAIN
    times = histories.columns.get("time")
    if times is not None:
        timed = in_training & (times != MISSING_TIME)
        if timed.any():
            num_recent = max(round(share * int(timed.sum())), 1)
            since = np.partition(times[timed], -num_recent)[-num_recent]
            return timed & (times >= since)
    cumulative = np.concatenate([[0], np.cumsum(in_training)])
    lengths = np.diff(histories.offsets)
    num_trained = np.diff(cumulative[histories.offsets])
    position = cumulative[1:] - np.repeat(cumulative[histories.offsets[:-1]], lengths)
    num_earlier = num_trained - np.ceil(share * num_trained).astype(np.int64)
    return in_training & (position > np.repeat(num_earlier, lengths))
