"""Ranking metrics: per-query functions of hits, and their means as torchmetrics classes.

A query is one history and the targets that follow it; ``hits[q, r]`` is True if its list has
a target at rank ``r + 1``. A list shorter than ``k`` has no hits after its end.

Example: Ann watched two targets after the cut; her list has them at ranks 2 and 4.

>>> hits = torch.tensor([[False, True, False, True, False]])
>>> num_targets = torch.tensor([2])
>>> recall(hits, num_targets, k=3).item()  # one of two within 3
0.5
>>> hit_rate(hits, num_targets, k=3).item()
1.0
>>> mrr(hits, num_targets, k=3).item()  # the first is at rank 2
0.5
>>> round(ndcg(hits, num_targets, k=3).item(), 4)  # 1 / log2(3) of 1 + 1 / log2(3)
0.3869
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric

from seqrec.errors import SeqRecError


def mark_hits(
    items: Int[Tensor, "Q K"], target_rows: Int[Tensor, " N"], target_items: Int[Tensor, " N"]
) -> Bool[Tensor, "Q K"]:
    """Return where the ranked lists hold a target of their query.

    Args:
        items: the lists, best first; -1 is never a hit, an item listed twice is one hit.
        target_rows: the query that each target belongs to.
        target_items: the targets.

    >>> lists = torch.tensor([[7, 3, 7], [3, 5, -1]])
    >>> mark_hits(lists, torch.tensor([0, 1, 1]), torch.tensor([7, 5, 9]))
    tensor([[ True, False, False],
            [False,  True, False]])
    """
    num_queries = len(items)
    keys = items * num_queries + torch.arange(num_queries, device=items.device)[:, None]
    is_target = torch.isin(keys, target_items * num_queries + target_rows)
    ordered, order = items.sort(dim=1, stable=True)
    is_repeat = torch.zeros_like(is_target)
    is_repeat[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return is_target & (items >= 0) & ~is_repeat.gather(1, order.argsort(dim=1))


def recall(
    hits: Bool[Tensor, "Q K"], num_targets: Int[Tensor, " Q"], k: int
) -> Float[Tensor, " Q"]:
    """``hits in the first k / num_targets``; with one target per query, the hit rate."""
    return hits[:, :k].sum(dim=1) / num_targets


def hit_rate(
    hits: Bool[Tensor, "Q K"], num_targets: Int[Tensor, " Q"], k: int
) -> Float[Tensor, " Q"]:
    """1 if any target is among the first ``k``, else 0."""
    return hits[:, :k].any(dim=1).to(torch.get_default_dtype())


def ndcg(hits: Bool[Tensor, "Q K"], num_targets: Int[Tensor, " Q"], k: int) -> Float[Tensor, " Q"]:
    """``sum of 1 / log2(rank + 1) over hits``, divided by that of the ideal list.

    The ideal list starts with ``min(num_targets, k)`` hits.

    Source: Järvelin and Kekäläinen 2002, with gains of 0 and 1 and the discount
        ``1 / log2(rank + 1)`` from rank 1 on.
    """
    discounts = 1 / torch.arange(2, k + 2, device=hits.device).log2()
    ideal = discounts.cumsum(dim=0)[num_targets.clamp(1, k) - 1]
    return hits[:, :k].to(discounts.dtype) @ discounts[: hits.shape[1]] / ideal


def mrr(hits: Bool[Tensor, "Q K"], num_targets: Int[Tensor, " Q"], k: int) -> Float[Tensor, " Q"]:
    """``1 / rank`` of the first hit within ``k``, else 0.

    Source: Voorhees 1999, TREC-8 question answering track.
    """
    ranks = torch.arange(1, hits[:, :k].shape[1] + 1, device=hits.device)
    return torch.cat([hits[:, :k] / ranks, hits.new_zeros(len(hits), 1)], dim=1).amax(dim=1)


class MeanOverQueries(Metric, ABC):
    """The mean of a per-query score over all queries of all processes; nan without queries."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    total: Tensor
    num_queries: Tensor

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("num_queries", torch.tensor(0), dist_reduce_fx="sum")

    @abstractmethod
    def score(
        self, hits: Bool[Tensor, "Q K"], num_targets: Int[Tensor, " Q"]
    ) -> Float[Tensor, " Q"]:
        """Return the value of every query."""

    def update(self, hits: Bool[Tensor, "Q K"], num_targets: Int[Tensor, " Q"]) -> None:
        """Add queries, each with at least one target."""
        if (num_targets < 1).any():
            raise SeqRecError("a query has no target: exclude it from the evaluation")
        self.total += self.score(hits, num_targets).sum()
        self.num_queries += len(hits)

    def compute(self) -> Float[Tensor, ""]:
        return self.total / self.num_queries


class RecallAtK(MeanOverQueries):
    """Mean ``recall``."""

    def score(
        self, hits: Bool[Tensor, "Q K"], num_targets: Int[Tensor, " Q"]
    ) -> Float[Tensor, " Q"]:
        return recall(hits, num_targets, self.k)


class HitRateAtK(MeanOverQueries):
    """Mean ``hit_rate``."""

    def score(
        self, hits: Bool[Tensor, "Q K"], num_targets: Int[Tensor, " Q"]
    ) -> Float[Tensor, " Q"]:
        return hit_rate(hits, num_targets, self.k)


class NDCGAtK(MeanOverQueries):
    """Mean ``ndcg``."""

    def score(
        self, hits: Bool[Tensor, "Q K"], num_targets: Int[Tensor, " Q"]
    ) -> Float[Tensor, " Q"]:
        return ndcg(hits, num_targets, self.k)


class MRRAtK(MeanOverQueries):
    """Mean ``mrr``."""

    def score(
        self, hits: Bool[Tensor, "Q K"], num_targets: Int[Tensor, " Q"]
    ) -> Float[Tensor, " Q"]:
        return mrr(hits, num_targets, self.k)


class CoverageAtK(Metric):
    """The share of the catalog among the first ``k`` items of all lists.

    >>> coverage = CoverageAtK(k=2, num_items=4)
    >>> coverage.update(torch.tensor([[0, 3, 1], [3, -1, -1]]))
    >>> coverage.compute().item()
    0.5
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    is_listed: Tensor

    def __init__(self, k: int, num_items: int) -> None:
        super().__init__()
        self.k = k
        self.add_state("is_listed", torch.zeros(num_items, dtype=torch.uint8), dist_reduce_fx="max")

    def update(self, items: Int[Tensor, "Q K"]) -> None:
        """Add the items of lists; -1 is no item."""
        listed = items[:, : self.k]
        self.is_listed[listed[listed >= 0]] = 1

    def compute(self) -> Float[Tensor, ""]:
        return self.is_listed.float().mean()


def metric_collection(ks: Sequence[int], num_items: int) -> dict[str, Metric]:
    """Return a new metric for every key, such as ``ndcg@10``; all except coverage take hits."""
    metrics: dict[str, Metric] = {}
    for k in ks:
        metrics[f"recall@{k}"] = RecallAtK(k)
        metrics[f"hit_rate@{k}"] = HitRateAtK(k)
        metrics[f"ndcg@{k}"] = NDCGAtK(k)
        metrics[f"mrr@{k}"] = MRRAtK(k)
        metrics[f"coverage@{k}"] = CoverageAtK(k, num_items)
    return metrics
