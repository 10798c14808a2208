"""What a reward model must beat: how a title is rated on average, and how mild its judge is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.evaluation.likes import auc

SMOOTHINGS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Ratings of the average that a title's, or a user's own, are mixed with: those tried."""
SLATE_SMOOTHING = 10.0
LOGISTIC_STEPS = 25


class RatedLog(NamedTuple):
    """Rated events, those of a user in a row and oldest first."""

    items: Int[np.ndarray, " N"]
    users: Int[np.ndarray, " N"]
    ratings: Float[np.ndarray, " N"]

    def at(self, chosen: Bool[np.ndarray, " N"]) -> "RatedLog":
        """Some of the events."""
        return RatedLog(*(part[chosen] for part in self))


class RatingBaselines:
    """Chances of a like that need no model, fitted on some people and asked of others.

    ``title_mean``: the mean rating of the title. ``title_mean_and_user``: plus the mean of how
    far the user's earlier ratings were from their titles' means. Means are drawn towards the
    average as far as orders the fitted events best, each of which is left out of its own title's
    mean; a logistic function of the score, fitted on the same, is the chance.
    """

    names = ("title_mean", "title_mean_and_user")

    def __init__(self, log: RatedLog, num_items: int, *, liked: float) -> None:
        """Fit on a log of people whom nobody is asked about later."""
        is_liked = log.ratings >= liked
        self._average = float(log.ratings.mean())
        self._sums = np.bincount(log.items, log.ratings - self._average, minlength=num_items)
        self._counts = np.bincount(log.items, minlength=num_items)
        own = log.ratings - self._average
        means = {
            smoothing: (self._sums[log.items] - own) / (self._counts[log.items] - 1 + smoothing)
            for smoothing in SMOOTHINGS
        }
        self._of_title = _best(means, is_liked)
        title = means[self._of_title]
        milder = {
            smoothing: title + past_mean(own - title, log.users, smoothing)
            for smoothing in SMOOTHINGS
        }
        self._of_user = _best(milder, is_liked)
        scores = (title, milder[self._of_user])
        self._curves = [fit_logistic(score, is_liked) for score in scores]

    def chances(self, log: RatedLog) -> dict[str, Float[np.ndarray, " N"]]:
        """By baseline, how probable it is that each event of other people is a like."""
        title = self._sums[log.items] / (self._counts[log.items] + self._of_title)
        deviation = log.ratings - self._average - title
        milder = title + past_mean(deviation, log.users, self._of_user)
        scored = zip(self.names, (title, milder), self._curves, strict=True)
        return {
            name: 1 / (1 + np.exp(-(slope * score + shift)))
            for name, score, (slope, shift) in scored
        }


def past_mean(
    values: Float[np.ndarray, " N"], users: Int[np.ndarray, " N"], smoothing: float
) -> Float[np.ndarray, " N"]:
    """Of every event, ``sum / (count + smoothing)`` of the values of its user's earlier ones."""
    is_first = np.append(True, users[1:] != users[:-1])[: len(users)]
    start = np.maximum.accumulate(np.where(is_first, np.arange(len(users)), 0))
    before = np.concatenate([[0.0], np.cumsum(values)])
    count = np.arange(len(users)) - start
    return (before[:-1] - before[start]) / (count + smoothing)


def fit_logistic(
    scores: Float[np.ndarray, " N"], is_liked: Bool[np.ndarray, " N"]
) -> tuple[float, float]:
    """Slope and shift of the logistic function that makes the likes most probable.

    By Newton's method; a ridge of one event keeps it finite where likes can be told perfectly.
    """
    features = np.column_stack([scores, np.ones(len(scores))])
    weights = np.zeros(2)
    for _ in range(LOGISTIC_STEPS):
        chance = 1 / (1 + np.exp(-(features @ weights).clip(-30, 30)))
        slope = features.T @ (chance - is_liked) + weights
        spread = features * (chance * (1 - chance))[:, None]
        weights = weights - np.linalg.solve(features.T @ spread + np.eye(2), slope)
    return float(weights[0]), float(weights[1])


def _best(scores: dict[float, Float[np.ndarray, " N"]], is_liked: Bool[np.ndarray, " N"]) -> float:
    """The smoothing whose scores order the likes best."""
    found: Sequence[tuple[float, float]] = [(auc(scores[key], is_liked), key) for key in scores]
    return max(found)[1]


def slate_chances(
    slates: Int[np.ndarray, "S K"],
    learned: Int[np.ndarray, "L K"],
    labels: Float[np.ndarray, " L"],
    num_items: int,
) -> Float[np.ndarray, " S"]:
    """What titles say of slates: the mean over a slate's of the mean label of those they stood in.

    Args:
        slates: that are asked about; -1 is no title.
        learned: other slates.
        labels: of these, from 0 to 1; their average counts as ten slates of every title.
        num_items: of the catalog.
    """
    average = float(labels.mean())
    row, place = np.nonzero(learned >= 0)
    titles = learned[row, place]
    sums = np.bincount(titles, labels[row] - average, minlength=num_items)
    means = average + sums / (np.bincount(titles, minlength=num_items) + SLATE_SMOOTHING)
    is_title = slates >= 0
    return (means[slates] * is_title).sum(axis=1) / is_title.sum(axis=1)
