"""Metrics of requests, their intervals by user or conversation, and weights chosen elsewhere."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.search.asked import Asked
from seqrec.evaluation.significance import bootstrap_intervals

K = 10
SEED = 0
Metrics = dict[str, np.ndarray]


def judge(scores: Tensor, asked: Asked, *, allowed: Tensor | None = None) -> Metrics:
    """Return the metrics of every request; seen items are not listed.

    Args:
        scores: of every item after each request.
        asked: the requests.
        allowed: items that may be listed.
    """
    scores = scores.clone()
    for row, history in enumerate(asked.histories):
        scores[row, torch.from_numpy(history)] = -torch.inf
    if allowed is not None:
        scores[~allowed] = -torch.inf
    listed = scores.topk(50, dim=1).indices.numpy()
    found: dict[str, list[float]] = {}
    for row, targets in enumerate(asked.targets):
        target_scores = scores[row, torch.from_numpy(targets)]
        best = float(target_scores.max())
        rank = int((scores[row] > best).sum()) + 1 if np.isfinite(best) else len(scores[row])
        hits = np.isin(listed[row], targets)
        gains = hits[:K] / np.log2(np.arange(2, K + 2))
        ideal = (1 / np.log2(np.arange(2, min(len(targets), K) + 2))).sum()
        values = {
            "recall@10": hits[:K].sum() / len(targets),
            "recall@50": hits.sum() / len(targets),
            "ndcg@10": gains.sum() / ideal,
            "mrr": 1 / rank,
        }
        if asked.has_word is not None:
            values["share"] = asked.has_word[row][listed[row, :K]].mean()
        for name, value in values.items():
            found.setdefault(name, []).append(float(value))
    return {name: np.array(values) for name, values in found.items()}


def summarise(metrics: Metrics, asked: Asked) -> dict[str, str]:
    """Return means with 95 % intervals by user or conversation."""
    intervals = bootstrap_intervals(
        np.column_stack(list(metrics.values())), users=asked.groups, num_draws=2_000, seed=SEED
    )
    return {
        name: f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"
        for (name, values), (low, high) in zip(metrics.items(), intervals, strict=True)
    }


def choose(
    weights: Sequence[float], score: Callable[[float], Tensor], asked: Asked, metric: str
) -> float:
    """Return the weight with the largest metric on these requests."""
    means = {weight: judge(score(weight), asked)[metric].mean() for weight in weights}
    return max(means, key=lambda weight: means[weight])


def cross_fit(
    weights: Sequence[float], score: Callable[[float], Tensor], asked: Asked, metric: str
) -> tuple[Metrics, list[float]]:
    """Return metrics under weights that the other half of the groups chose, and both weights."""
    half = np.array([hash_half(group) for group in asked.groups.tolist()])
    by_weight = {weight: judge(score(weight), asked) for weight in weights}
    chosen = [
        max(weights, key=lambda weight: by_weight[weight][metric][half != side].mean())
        for side in (0, 1)
    ]
    metrics = {
        name: np.where(half == 0, by_weight[chosen[0]][name], by_weight[chosen[1]][name])
        for name in by_weight[weights[0]]
    }
    return metrics, chosen


def hash_half(group: int) -> int:
    """Return the half of a group, which does not depend on the others."""
    return int(np.random.default_rng((SEED, group)).integers(2))


def compare(first: Metrics, second: Metrics, asked: Asked, metric: str) -> str:
    """Return the paired interval of a difference."""
    ((low, high),) = bootstrap_intervals(
        (first[metric] - second[metric])[:, None], users=asked.groups, num_draws=2_000, seed=SEED
    )
    return f"{(first[metric] - second[metric]).mean():+.3f} [{low:+.3f}, {high:+.3f}]"
