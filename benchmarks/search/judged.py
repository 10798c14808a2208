"""Metrics of requests, their intervals by user or conversation, and weights chosen elsewhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.engine import rows
from benchmarks.engine.rows import Row, Target
from benchmarks.search.asked import Asked
from seqrec.evaluation.significance import bootstrap_intervals

K = 10
SEED = 0
TESTED = ("query token", "recommend --text", "BM25 + text by --encoder")
"""First words of the names of seqrec's systems, which the targets are for."""
Metrics = dict[str, np.ndarray]
Weights = TypeVar("Weights", bound=float | tuple[float, ...])


def judge(scores: Tensor, asked: Asked, *, allowed: Tensor | None = None) -> Metrics:
    """Return the metrics of every request; seen items are not listed.

    Args:
        scores: of every item after each request.
        asked: the requests.
        allowed: items that may be listed.
    """
    scores, is_target = scores.clone(), torch.zeros(scores.shape, dtype=torch.bool)
    for number, (history, targets) in enumerate(zip(asked.histories, asked.targets, strict=True)):
        scores[number, torch.tensor(history)] = -torch.inf
        is_target[number, torch.tensor(targets)] = True
    if allowed is not None:
        scores[~allowed] = -torch.inf
    listed = scores.topk(50, dim=1).indices
    hits = is_target.gather(1, listed).double().numpy()
    numbers = is_target.sum(dim=1).numpy()
    best = scores.masked_fill(~is_target, -torch.inf).amax(dim=1)
    ranks = (scores > best[:, None]).sum(dim=1) + 1
    ranks[best == -torch.inf] = scores.shape[1]
    discounts = 1 / np.log2(np.arange(2, K + 2))
    ideal = discounts.cumsum()[np.minimum(numbers, K) - 1]
    found = {
        "recall@10": hits[:, :K].sum(axis=1) / numbers,
        "recall@50": hits.sum(axis=1) / numbers,
        "ndcg@10": hits[:, :K] @ discounts / ideal,
        "mrr": 1 / ranks.double().numpy(),
    }
    if asked.has_word is not None:
        words = torch.from_numpy(asked.has_word).gather(1, listed[:, :K])
        found["share"] = words.double().mean(dim=1).numpy()
    return found


def summarise(metrics: Metrics, asked: Asked) -> dict[str, str]:
    """Return means with 95 % intervals by user or conversation."""
    return {
        name: f"{values.mean():.3f} {find_interval(values, asked)}"
        for name, values in metrics.items()
    }


def find_interval(values: np.ndarray, asked: Asked) -> str:
    """Return the 95 % interval of a mean by user or conversation."""
    ((low, high),) = bootstrap_intervals(
        values[:, None], users=asked.groups, num_draws=2_000, seed=SEED
    )
    return f"[{low:.3f}, {high:.3f}]"


def choose(
    weights: Sequence[Weights], score: Callable[[Weights], Tensor], asked: Asked, metric: str
) -> Weights:
    """Return the weights with the largest metric on these requests."""
    means = {weight: judge(score(weight), asked)[metric].mean() for weight in weights}
    return max(means, key=lambda weight: means[weight])


def cross_fit(
    weights: Sequence[Weights], score: Callable[[Weights], Tensor], asked: Asked, metric: str
) -> tuple[Metrics, list[Weights]]:
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


def report(
    name: str,
    work: str,
    asked: Asked,
    found: Mapping[str, tuple[Metrics, str]],
    metrics: Sequence[str],
    targets: Mapping[str, Target],
    baseline: str,
) -> Iterator[Row]:
    """Yield a row for every metric and system, with its interval and difference to a baseline.

    Args:
        name: of the measurement.
        work: what was asked.
        asked: the requests.
        found: metrics and the chosen weights by system.
        metrics: those to report.
        targets: of the models that read requests, by metric.
        baseline: the system that the others are compared with.
    """
    for metric in metrics:
        for system, (values, weights) in found.items():
            note = find_interval(values[metric], asked)
            if weights:
                note += f"; weights {weights}"
            if system != baseline:
                note += f"; over {baseline} {compare(values, found[baseline][0], asked, metric)}"
            yield rows.row(
                name,
                f"{work}: {metric}",
                [float(values[metric].mean())],
                "",
                system=system,
                target=targets.get(metric) if system.startswith(TESTED) else None,
                note=note,
                module="benchmarks.search",
            )
