"""The baseline of baselines: the titles most watched, ever or of late, whoever asks."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from seqrec.data.histories import MISSING_TIME, Histories
from seqrec.data.splits import TRAIN
from seqrec.ranking.ranker import Ranker, ScoreTile

TIE_BREAKER = 1e-9
"""What popularity may add to a score of another method."""


def popularity_shares(histories: Histories, num_items: int) -> Float[np.ndarray, " I"]:
    """Of the training interactions, as shares that sum to less than 1."""
    counts = histories.item_counts(num_items)
    return counts / (counts.sum() + 1)


def tie_breaker(histories: Histories, num_items: int) -> Float[np.ndarray, " I"]:
    """What a method adds to its scores, so that popularity orders those that are equal."""
    return popularity_shares(histories, num_items) * TIE_BREAKER


class Popularity(Ranker):
    """Every history is answered with the items most frequent in training."""

    name = "popularity"

    def __init__(self, histories: Histories, num_items: int) -> None:
        self.num_items = num_items
        counts: Float[np.ndarray, " I"] = histories.item_counts(num_items).astype(np.float32)
        self._counts = torch.from_numpy(counts)

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """The items' counts, the same for every history."""
        return lambda start, stop: self._counts[start:stop].expand(len(histories), -1)


class RecentPopularity(Ranker):
    """Every history is answered with the items most frequent in the last part of training.

    Equals are ordered by popularity in all of training.
    """

    name = "recent-popularity"

    def __init__(self, histories: Histories, num_items: int, *, recent_share: float = 0.1) -> None:
        """Count.

        Args:
            histories: with the column ``time`` if the log has times.
            num_items: the catalog's size.
            recent_share: of the training interactions, those that count.
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
        """The items' recent counts, the same for every history."""
        return lambda start, stop: self._scores[start:stop].expand(len(histories), -1)


def recent_interactions(histories: Histories, share: float) -> Bool[np.ndarray, " N"]:
    """Which interactions are the latest of the training part.

    With times, the latest ``share`` of all, equal times never parted; an interaction without a
    time is none of them. Without times, the latest ``share`` of each user's own, rounded up.
    """
    in_training = histories.split == TRAIN
    times = histories.columns.get("time")
    if times is not None:
        timed = in_training & (times != MISSING_TIME)
        if timed.any():
            num_recent = max(round(share * int(timed.sum())), 1)
            since = np.partition(times[timed], -num_recent)[-num_recent]
            return timed & (times >= since)
    so_far = np.concatenate([[0], np.cumsum(in_training)])
    lengths = np.diff(histories.offsets)
    num_trained = np.diff(so_far[histories.offsets])
    place = so_far[1:] - np.repeat(so_far[histories.offsets[:-1]], lengths)
    num_earlier = num_trained - np.ceil(share * num_trained).astype(np.int64)
    return in_training & (place > np.repeat(num_earlier, lengths))
