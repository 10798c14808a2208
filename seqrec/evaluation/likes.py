"""Metrics of predicted likes: AUC, calibration, and the difference of two models.

Ann liked the first and the third of three items; a model predicted .9, .6 and .2:

>>> likes, chances = np.array([1.0, 0.0, 1.0]), np.array([0.9, 0.6, 0.2])
>>> auc(chances, likes > 0)  # of the pairs (first, second) and (third, second), one is in order
0.5
>>> round(calibration_error(chances, likes), 4)  # off by .1, .6 and .8
0.5
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.evaluation.significance import user_draws

NUM_BINS = 10


def auc(scores: Float[np.ndarray, " N"], is_liked: Bool[np.ndarray, " N"]) -> float:
    """Return the share of pairs of a liked and another event in the right order; a tie is half.

    It is NaN if all events are liked, or none is.
    """
    return float(_weighted_auc(_Groups.of(scores, is_liked), np.ones(len(scores)))[()])


def calibration_error(
    probabilities: Float[np.ndarray, " N"], labels: Float[np.ndarray, " N"]
) -> float:
    """Return the expected calibration error over ten bins of equal width.

    It is the mean over events of ``|mean probability - mean label|`` of their bin. A label is 1
    for a like, 0 for none, or between.

    Source: Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning".
    """
    bins = (probabilities * NUM_BINS).astype(np.int64).clip(0, NUM_BINS - 1)
    gap = np.bincount(bins, probabilities - labels, minlength=NUM_BINS)
    return float(np.abs(gap).sum() / len(probabilities))


def log_loss(probabilities: Float[np.ndarray, " N"], labels: Float[np.ndarray, " N"]) -> float:
    """Return the mean cross-entropy of labels from 0 to 1 under the probabilities, in nats."""
    log_like, log_dislike = (
        np.log(np.maximum(part, np.finfo(np.float64).tiny))
        for part in (probabilities, 1 - probabilities)
    )
    return float(-(labels * log_like + (1 - labels) * log_dislike).mean())


def like_metrics(
    probabilities: Float[np.ndarray, " N"], labels: Float[np.ndarray, " N"]
) -> dict[str, float]:
    """Return AUC (a like is a label of .5 or more), calibration error and log loss, by key."""
    return {
        "auc": auc(probabilities, labels >= 0.5),
        "calibration_error": calibration_error(probabilities, labels),
        "log_loss_nats": log_loss(probabilities, labels),
    }


class AUCDifference(NamedTuple):
    """One model's AUC minus another's, with its interval over users."""

    difference: float
    low: float
    """Lower end of the percentile bootstrap interval."""
    high: float
    p_value: float
    """Two-sided: twice the share of draws on the rarer side of 0, at least ``2 / draws``."""
    num_users: int


def auc_difference(
    first: Float[np.ndarray, " N"],
    second: Float[np.ndarray, " N"],
    is_liked: Bool[np.ndarray, " N"],
    users: Int[np.ndarray, " N"],
    *,
    num_draws: int = 1000,
    confidence: float = 0.95,
    seed: int,
) -> AUCDifference:
    """Bootstrap the difference of two AUCs over the same events, drawing users with all events.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", sections 13.3 and 15.4.
    """
    _, user = np.unique(users, return_inverse=True)
    num_users = int(user.max()) + 1
    models = [_Groups.of(scores, is_liked) for scores in (first, second)]
    gaps = []
    for times in user_draws(num_users, num_draws, seed):
        for user_weight in times:
            weight = user_weight[user]
            gaps.append(np.subtract(*(_weighted_auc(groups, weight) for groups in models)))
    drawn = np.array(gaps)
    drawn = drawn[~np.isnan(drawn)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (np.nan, np.nan)
    rarer = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return AUCDifference(
        difference=auc(first, is_liked) - auc(second, is_liked),
        low=float(low),
        high=float(high),
        p_value=float(min(2 * max(rarer, 1) / max(len(drawn), 1), 1)),
        num_users=num_users,
    )


class _Groups(NamedTuple):
    """Events in the order of their scores, and where a new score begins."""

    order: Int[np.ndarray, " N"]
    starts: Int[np.ndarray, " S"]
    is_liked: Bool[np.ndarray, " N"]
    """In that order."""

    @classmethod
    def of(cls, scores: Float[np.ndarray, " N"], is_liked: Bool[np.ndarray, " N"]) -> "_Groups":
        order = np.argsort(scores, kind="stable")
        ordered = scores[order]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
        return cls(order, starts, is_liked[order])


def _weighted_auc(groups: _Groups, weight: np.ndarray) -> np.ndarray:
    """Return the AUC of weighted events."""
    weight = weight[groups.order].astype(np.float64)
    liked = np.add.reduceat(weight * groups.is_liked, groups.starts)
    others = np.add.reduceat(weight * ~groups.is_liked, groups.starts)
    below = np.cumsum(others) - others / 2
    with np.errstate(invalid="ignore"):
        return (liked * below).sum() / (liked.sum() * others.sum())
