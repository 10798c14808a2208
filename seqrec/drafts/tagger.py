"""A tagger that learns a vocabulary from tagged items: kernel ridge, neighbours and zero-shot."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

NUM_FOLDS = 5
NUM_NEIGHBOURS = 20
BLOCK_ROWS = 1024
"""Items compared with all tagged ones at once."""
MAX_CENTRES = 4096
"""Tagged items that a regression compares with; of more, every so many-th."""
JITTER = 1e-6
PENALTIES = (0.1, 0.3, 1.0)
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 1.5)
"""Weights of neighbours and of zero-shot beside the ridge's 1, chosen by cross-validation."""
TOP = 5
"""Tags of an item that the choice is judged by."""


class Setting(NamedTuple):
    """Weights of a tagger's parts."""

    penalty: float
    neighbours: float
    zero_shot: float


class Block(NamedTuple):
    """Features of one kind."""

    name: str
    rows: Float[np.ndarray, "I F"]
    weight: float
    """Mean length of its rows beside other blocks."""


@dataclass(frozen=True)
class Tagger:
    """Scores of every tag for every item, and what they are worth."""

    scores: Float[np.ndarray, "I V"]
    confidences: Float[np.ndarray, "I V"]
    """Probabilities that people give the tag, by a logistic fit to cross-validated scores."""
    held_out: Float[np.ndarray, "N V"]
    """The same for the tagged items, by taggers that had not seen their tags."""
    setting: Setting
    precision: float
    """Share of the first five tags that people gave, on items that were left out in turn."""
    neighbours: Int[np.ndarray, "I K"]
    """The tagged items nearest to each item, rows of the catalog."""


def fit_tagger(
    features: Float[np.ndarray, "I F"],
    similarities: Float[np.ndarray, "I V"],
    tagged: Int[np.ndarray, " N"],
    has_tag: Bool[np.ndarray, "N V"],
    *,
    seed: int = 0,
) -> Tagger:
    """Learn tags from the items that people tagged, and score all items.

    A ridge regression with the kernel ``exp(-|u - v|^2)`` predicts how each tag differs from its
    mean. The nearest tagged items vote by their cosine. Zero-shot is the cosine of item and tag
    texts. Each part is divided by its standard deviation and weighed; penalty and weights are
    chosen by the precision of the first five tags over folds of the tagged items.

    Args:
        features: a vector per item, of mean length about 1.
        similarities: cosines of the texts of items and tags.
        tagged: rows of the tagged items.
        has_tag: the tags that people gave them.
        seed: of the folds.
    """
    folds = list(_split(len(tagged), seed))
    unit = _normalise(features)
    parts = {penalty: np.zeros((3, len(tagged), has_tag.shape[1])) for penalty in PENALTIES}
    for learned, held in folds:
        known, asked = tagged[learned], tagged[held]
        votes = _vote(unit[asked], unit[known], has_tag[learned])
        for penalty, scores in parts.items():
            scores[0, held] = _ridge(features, known, has_tag[learned], asked, penalty)
            scores[1, held] = votes
            scores[2, held] = similarities[asked]
    best, setting, combined = -1.0, Setting(PENALTIES[0], 0.0, 0.0), parts[PENALTIES[0]][0]
    for penalty, neighbours, zero_shot in product(PENALTIES, WEIGHTS, WEIGHTS):
        candidate = Setting(penalty, neighbours, zero_shot)
        scores = _combine(parts[penalty], candidate)
        precision = measure_precision(scores, has_tag)
        if precision > best:
            best, setting, combined = precision, candidate, scores
    slope, offset = _fit_logistic(combined.ravel(), has_tag.ravel())
    every = np.arange(len(features))
    whole = np.stack(
        [
            _ridge(features, tagged, has_tag, every, setting.penalty),
            _vote(unit, unit[tagged], has_tag, own=tagged),
            similarities,
        ]
    )
    scores = _combine(whole, setting)
    confidences, held_out = (
        1 / (1 + np.exp(-(slope * one + offset))) for one in (scores, combined)
    )
    nearest, _ = _find_nearest(unit, unit[tagged], own=tagged)
    return Tagger(scores, confidences, held_out, setting, best, tagged[nearest])


def measure_precision(
    scores: Float[np.ndarray, "N V"], has_tag: Bool[np.ndarray, "N V"], top: int = TOP
) -> float:
    """Return the mean share of an item's best tags that people gave."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return float(np.take_along_axis(has_tag, best, axis=1).mean())


def _split(number: int, seed: int) -> Iterator[tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]]:
    order = np.random.default_rng(seed).permutation(number)
    for held in np.array_split(order, min(NUM_FOLDS, number)):
        yield np.setdiff1d(order, held), np.sort(held)


def _ridge(
    features: Float[np.ndarray, "I F"],
    known: Int[np.ndarray, " N"],
    has_tag: Bool[np.ndarray, "N V"],
    asked: Int[np.ndarray, " Q"],
    penalty: float,
) -> Float[np.ndarray, "Q V"]:
    """Return predictions of a kernel ridge regression on 0 and 1.

    Many known items are approximated by a subset of regressors: the function lies in the span of
    the kernels of some of them, and is fitted to all.

    Source: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, section 8.3.1.
    """
    targets = has_tag.astype(np.float64)
    mean = targets.mean(axis=0)
    centres = known[:: -(-len(known) // MAX_CENTRES)]
    among = _compare(features, centres, centres)
    if len(centres) == len(known):
        gram, right = among + penalty * np.eye(len(known)), targets - mean
    else:
        near = _compare(features, known, centres)
        gram = near.T @ near + penalty * (among + JITTER * np.eye(len(centres)))
        right = near.T @ (targets - mean)
    weights = np.linalg.solve(gram, right)
    return mean + np.concatenate(
        [
            _compare(features, asked[start : start + BLOCK_ROWS], centres) @ weights
            for start in range(0, len(asked), BLOCK_ROWS)
        ]
    )


def _compare(
    features: Float[np.ndarray, "I F"], rows: Int[np.ndarray, " N"], others: Int[np.ndarray, " M"]
) -> Float[np.ndarray, "N M"]:
    """Return the kernel of all pairs of some items and others."""
    left, right = features[rows], features[others]
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    return np.exp(-squares.clip(0))


def _vote(
    asked: Float[np.ndarray, "Q F"],
    known: Float[np.ndarray, "N F"],
    has_tag: Bool[np.ndarray, "N V"],
    own: Int[np.ndarray, " N"] | None = None,
) -> Float[np.ndarray, "Q V"]:
    """Return the mean of the tags of the nearest items, weighed by their cosines."""
    nearest, cosines = _find_nearest(asked, known, own)
    votes = np.zeros((len(asked), has_tag.shape[1]))
    shares = cosines.clip(0) ** 2
    for place in range(nearest.shape[1]):
        votes += shares[:, place, None] * has_tag[nearest[:, place]]
    return votes / np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)


def _find_nearest(
    asked: Float[np.ndarray, "Q F"],
    known: Float[np.ndarray, "N F"],
    own: Int[np.ndarray, " N"] | None,
) -> tuple[Int[np.ndarray, "Q K"], Float[np.ndarray, "Q K"]]:
    """Return the nearest known rows and their cosines, block by block.

    Never a row itself, where ``own`` says which rows they are.
    """
    number = min(NUM_NEIGHBOURS, len(known))
    nearest = np.empty((len(asked), number), dtype=np.int64)
    found = np.empty((len(asked), number))
    for start in range(0, len(asked), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        cosines = asked[rows] @ known.T
        if own is not None:
            here = np.flatnonzero((own >= start) & (own < start + BLOCK_ROWS))
            cosines[own[here] - start, here] = -np.inf
        nearest[rows] = np.argsort(-cosines, axis=1, kind="stable")[:, :number]
        found[rows] = np.take_along_axis(cosines, nearest[rows], axis=1)
    return nearest, found


def _combine(parts: Float[np.ndarray, "3 N V"], setting: Setting) -> Float[np.ndarray, "N V"]:
    """Return the weighed sum of the parts, each in its own standard deviations."""
    weights = (1.0, setting.neighbours, setting.zero_shot)
    total = np.zeros(parts.shape[1:])
    for part, weight in zip(parts, weights, strict=True):
        if weight:
            total += weight * part / max(float(part.std()), 1e-9)
    return total


def _normalise(rows: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "N F"]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _fit_logistic(
    scores: Float[np.ndarray, " N"], labels: Bool[np.ndarray, " N"]
) -> tuple[float, float]:
    """Return slope and offset of the logistic curve through labels, by Newton's method."""
    slope, offset = 1.0, float(np.log(max(labels.mean(), 1e-9)))
    for _ in range(30):
        odds = 1 / (1 + np.exp(-(slope * scores + offset)))
        weight = odds * (1 - odds)
        gradient = np.array([(scores * (odds - labels)).mean(), (odds - labels).mean()])
        hessian = np.array(
            [
                [(weight * scores**2).mean() + 1e-9, (weight * scores).mean()],
                [(weight * scores).mean(), weight.mean() + 1e-9],
            ]
        )
        step = np.linalg.solve(hessian, gradient)
        slope, offset = slope - float(step[0]), offset - float(step[1])
        if np.abs(step).max() < 1e-8:
            break
    return slope, offset


def build_features(blocks: Sequence[Block]) -> Float[np.ndarray, "I F"]:
    """Return features side by side, of squared length about 1, of which blocks have their share."""
    total = np.sqrt(sum(block.weight**2 for block in blocks))
    scaled = [
        block.rows * (block.weight / total / max(np.linalg.norm(block.rows, axis=1).mean(), 1e-9))
        for block in blocks
    ]
    return np.concatenate(scaled, axis=1).astype(np.float64)
