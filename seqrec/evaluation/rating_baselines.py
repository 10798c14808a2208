"""Baselines of reward models: mean ratings of items and of users."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.evaluation.likes import auc

SMOOTHINGS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Pseudo-counts of average ratings that are tried, for items and for users."""
SLATE_SMOOTHING = 10.0
LOGISTIC_STEPS = 25


class RatedLog(NamedTuple):
    """Rated events, grouped by user, oldest first."""

    items: Int[np.ndarray, " N"]
    users: Int[np.ndarray, " N"]
    ratings: Float[np.ndarray, " N"]

    def at(self, chosen: Bool[np.ndarray, " N"]) -> "RatedLog":
        """Return the selected events."""
        return RatedLog(*(part[chosen] for part in self))


class RatingBaselines:
    """Probabilities of a like without a model, fitted on some users and used for others.

    ``item_mean``: the mean rating of the item. ``item_and_user_mean``: plus the mean difference of
    the user's earlier ratings from their items' means. Means are smoothed towards the average,
    with the strength of the best AUC on the fitted events; each event is excluded from its own
    item's mean. A logistic function of the score, fitted on the same events, is the probability.
    """

    names = ("item_mean", "item_and_user_mean")

    def __init__(self, log: RatedLog, num_items: int, *, liked: float) -> None:
        """Fit on the log of users who are not evaluated."""
        is_liked = log.ratings >= liked
        self._average = float(log.ratings.mean())
        self._sums = np.bincount(log.items, log.ratings - self._average, minlength=num_items)
        self._counts = np.bincount(log.items, minlength=num_items)
        own = log.ratings - self._average
        means = {
            smoothing: (self._sums[log.items] - own) / (self._counts[log.items] - 1 + smoothing)
            for smoothing in SMOOTHINGS
        }
        self._item_smoothing = _find_best(means, is_liked)
        item_score = means[self._item_smoothing]
        with_users = {
            smoothing: item_score + past_mean(own - item_score, log.users, smoothing)
            for smoothing in SMOOTHINGS
        }
        self._user_smoothing = _find_best(with_users, is_liked)
        scores = (item_score, with_users[self._user_smoothing])
        self._curves = [fit_logistic(score, is_liked) for score in scores]

    def chances(self, log: RatedLog) -> dict[str, Float[np.ndarray, " N"]]:
        """Return the probability of a like for each event of other users, by baseline."""
        item_score = self._sums[log.items] / (self._counts[log.items] + self._item_smoothing)
        deviation = log.ratings - self._average - item_score
        with_user = item_score + past_mean(deviation, log.users, self._user_smoothing)
        scored = zip(self.names, (item_score, with_user), self._curves, strict=True)
        return {
            name: 1 / (1 + np.exp(-(slope * score + shift)))
            for name, score, (slope, shift) in scored
        }


def past_mean(
    values: Float[np.ndarray, " N"], users: Int[np.ndarray, " N"], smoothing: float
) -> Float[np.ndarray, " N"]:
    """Return ``sum / (count + smoothing)`` over the earlier values of each event's user."""
    is_first = np.append(True, users[1:] != users[:-1])[: len(users)]
    start = np.maximum.accumulate(np.where(is_first, np.arange(len(users)), 0))
    before = np.concatenate([[0.0], np.cumsum(values)])
    count = np.arange(len(users)) - start
    return (before[:-1] - before[start]) / (count + smoothing)


def fit_logistic(
    scores: Float[np.ndarray, " N"], is_liked: Bool[np.ndarray, " N"]
) -> tuple[float, float]:
    """Return slope and shift of the logistic function of maximum likelihood.

    It is fitted by Newton's method; a ridge of one event keeps it finite if likes are separable.
    """
    features = np.column_stack([scores, np.ones(len(scores))])
    weights = np.zeros(2)
    for _ in range(LOGISTIC_STEPS):
        chance = 1 / (1 + np.exp(-(features @ weights).clip(-30, 30)))
        slope = features.T @ (chance - is_liked) + weights
        spread = features * (chance * (1 - chance))[:, None]
        weights = weights - np.linalg.solve(features.T @ spread + np.eye(2), slope)
    return float(weights[0]), float(weights[1])


def _find_best(
    scores: dict[float, Float[np.ndarray, " N"]], is_liked: Bool[np.ndarray, " N"]
) -> float:
    """Return the smoothing whose scores have the best AUC."""
    values: Sequence[tuple[float, float]] = [(auc(scores[key], is_liked), key) for key in scores]
    return max(values)[1]


def slate_chances(
    slates: Int[np.ndarray, "S K"],
    learned: Int[np.ndarray, "L K"],
    labels: Float[np.ndarray, " L"],
    num_items: int,
) -> Float[np.ndarray, " S"]:
    """Return the mean, over a slate's items, of the mean label of the slates with that item.

    Args:
        slates: slates to predict; -1 is no item.
        learned: slates with labels.
        labels: their labels from 0 to 1; the average label counts as ten slates of every item.
        num_items: size of the catalog.
    """
    average = float(labels.mean())
    row, slot = np.nonzero(learned >= 0)
    items = learned[row, slot]
    sums = np.bincount(items, labels[row] - average, minlength=num_items)
    means = average + sums / (np.bincount(items, minlength=num_items) + SLATE_SMOOTHING)
    is_item = slates >= 0
    return (means[slates] * is_item).sum(axis=1) / is_item.sum(axis=1)
