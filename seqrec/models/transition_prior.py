"""The transition prior: transition counts of the last items, added to the head's logits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

MAX_CELLS, CELLS_PER_EDGE = 1 << 26, 64
"""Limits of a dense transition matrix, in cells. For small catalogs that are not too sparse, sums
of whole rows take a fraction of the time of gathering their edges."""


class TransitionPrior(nn.Module):
    """A distribution over the next item from transition counts, added to logits with a strength.

    After items ``i_0, i_1, ...``, the most recent first, the prior probability of ``j`` is the
    mean over steps ``s``, weighted by ``query_decay ** s``, of ``(weight(i_s -> j) + smoothing *
    popularity(j)) / (leaving(i_s) + smoothing)``. Its logarithm, times ``strength``, is added to
    the head's logits: the softmax of the sum is proportional to ``softmax * prior ** strength``.

    Source: Khandelwal et al. 2020, arXiv:1911.00172, for a datastore beside a language model; the
        neighbours here are items instead of hidden states, and the two are interpolated
        log-linearly (Klakow 1998, "Log-linear interpolation of language models").
    """

    first_edge: Int[Tensor, " I+1"]
    target: Int[Tensor, " E"]
    weight: Float[Tensor, " E"]
    leaving: Float[Tensor, " I"]
    popularity: Float[Tensor, " I"]

    def __init__(
        self,
        num_items: int,
        num_edges: int,
        *,
        max_steps: int,
        step_decay: float,
        query_decay: float,
        smoothing: float,
        strength: float,
    ) -> None:
        """Initialise an empty prior; ``load_transitions`` fills it.

        Args:
            num_items: catalog size.
            num_edges: number of transitions.
            max_steps: last items of a history that the prior is conditioned on.
            step_decay: weight of a transition relative to one that is a step shorter.
            query_decay: weight of an item of the history relative to the item after it.
            smoothing: pseudo-transitions of every item, distributed by popularity.
            strength: factor of the log-probabilities.
        """
        super().__init__()
        self.max_steps = max_steps
        self.step_decay = step_decay
        self.query_decay = query_decay
        self.smoothing = smoothing
        self.strength = strength
        self.register_buffer("first_edge", torch.zeros(num_items + 1, dtype=torch.long))
        self.register_buffer("target", torch.zeros(num_edges, dtype=torch.int32))
        self.register_buffer("weight", torch.zeros(num_edges))
        self.register_buffer("leaving", torch.zeros(num_items))
        self.register_buffer("popularity", torch.full((num_items,), 1 / num_items))
        self._matrices: dict[torch.dtype, tuple[Any, Tensor]] = {}

    def load_transitions(
        self,
        first_edge: Int[Tensor, " I+1"],
        target: Int[Tensor, " E"],
        weight: Float[Tensor, " E"],
        leaving: Float[Tensor, " I"],
        item_counts: Int[Tensor, " I"],
    ) -> None:
        """Set the transition matrix, in CSR layout, and the item counts of the popularity."""
        self.first_edge.copy_(first_edge)
        self.target.copy_(target)
        self.weight.copy_(weight)
        self.leaving.copy_(leaving)
        self.popularity.copy_((item_counts + 1) / (item_counts + 1).sum())

    def logits(
        self,
        last_items: Int[Tensor, "B S"],
        start: int,
        stop: int,
        labels: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B tile"]:
        """Return what is added to a head's logits of items ``start .. stop - 1``.

        Args:
            last_items: last items of each history, from the function ``last_items``.
            start: the first item.
            stop: the item after the last one.
            labels: in training, the next item of each history; below 0 where there is none. The
                transitions to it are removed from the counts (leave-one-out). Popularity still
                counts it.
        """
        return self.probabilities(last_items, start, stop, labels).log_().mul_(self.strength)

    def probabilities(
        self,
        last_items: Int[Tensor, "B S"],
        start: int,
        stop: int,
        labels: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B tile"]:
        """Return the prior probabilities of items ``start .. stop - 1``; see ``logits``.

        Under autocast to bfloat16, dense rows of transitions have its precision.
        """
        source = last_items.clamp_min(0)
        steps = torch.arange(self.max_steps, device=source.device)
        is_same = (source[:, :, None] == source[:, None, :]) & (last_items >= 0)[:, None, :]
        own = (is_same * self.step_decay**steps).sum(dim=2)  # repeated items count repeatedly
        step_weight = self.query_decay**steps * (last_items >= 0)
        has_any = (last_items >= 0).any(dim=1, keepdim=True)
        step_weight = step_weight / step_weight.sum(dim=1, keepdim=True).where(has_any, 1)
        leaving = self.leaving[source]
        if labels is not None:
            leaving = (leaving - own * (labels >= 0)[:, None]).clamp_min(0)
        share = step_weight / (leaving + self.smoothing)
        popularity_share = (share * self.smoothing).sum(dim=1) + 1 - step_weight.sum(dim=1)
        if (start, stop) == (0, len(self.leaving)) and self._is_dense:
            total = self._sum_rows(source, share)
            total.addcmul_(popularity_share[:, None], self.popularity.to(total.dtype))
            if labels is not None:
                row = (labels >= 0).nonzero().squeeze(1)
                label, matrix = labels[row], self._whole_matrix(share.dtype)
                count = (matrix[source[row], label[:, None]] - own[row]).clamp_min(0)
                smoothed = popularity_share[row] * self.popularity[label]
                total[row, label] = smoothed + (share[row] * count).sum(dim=1)
            return total
        total = popularity_share[:, None] * self.popularity[start:stop]
        rows = torch.arange(len(source), device=source.device)
        for step in range(self.max_steps):
            first, end = (self._find_edge(source[:, step], item) for item in (start, stop))
            num_edges = (end - first) * (last_items[:, step] >= 0)
            row = rows.repeat_interleave(num_edges)
            before = num_edges.cumsum(0) - num_edges
            edge = torch.arange(len(row), device=row.device) + (first - before)[row]
            target, weight = self.target[edge], self.weight[edge]
            if labels is not None:
                weight = (weight - own[row, step] * (target == labels[row])).clamp_min(0)
            cells = (row, target - start)
            total.index_put_(cells, weight * share[row, step], accumulate=True)
        return total

    @property
    def _is_dense(self) -> bool:
        num_cells = len(self.leaving) ** 2
        return num_cells <= min(MAX_CELLS, CELLS_PER_EDGE * len(self.target))

    def _sum_rows(
        self, source: Int[Tensor, "B S"], share: Float[Tensor, "B S"]
    ) -> Float[Tensor, "B I"]:
        """Return weighted sums of transition rows, in bfloat16 where autocast uses it."""
        dtype, kind = share.dtype, share.device.type
        if torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16:
            dtype = torch.bfloat16
        matrix, weights = self._whole_matrix(dtype), share.to(dtype)
        total = F.embedding_bag(source, matrix, per_sample_weights=weights, mode="sum")
        return total.to(share.dtype)

    def _whole_matrix(self, dtype: torch.dtype) -> Float[Tensor, "I I"]:
        """Return the dense transition matrix, cached until the weights change."""
        version = 0 if self.weight.is_inference() else self.weight._version
        key = self.weight.device, self.weight.data_ptr(), version
        if dtype not in self._matrices or self._matrices[dtype][0] != key:
            num_items = len(self.leaving)
            matrix = self.weight.new_zeros(num_items, num_items, dtype=dtype)
            items = torch.arange(num_items, device=matrix.device)
            source = items.repeat_interleave(self.first_edge.diff())
            matrix[source, self.target] = self.weight.to(dtype)
            self._matrices[dtype] = key, matrix
        return self._matrices[dtype][1]

    def _find_edge(self, source: Int[Tensor, " B"], item: int) -> Int[Tensor, " B"]:
        """Return every source's first edge to ``item`` or a later one, by bisection."""
        low, high = self.first_edge[source], self.first_edge[source + 1]
        if item <= 0:
            return low
        if item >= len(self.leaving):
            return high
        last = max(len(self.target) - 1, 0)
        while bool((low < high).any()):
            middle = (low + high) // 2
            is_below = (self.target[middle.clamp_max(last)] < item) & (middle < high)
            low, high = torch.where(is_below, middle + 1, low), torch.where(is_below, high, middle)
        return low


def last_items(
    items: Int[Tensor, "B T"], documents: Int[Tensor, "B T"], num_steps: int
) -> Int[Tensor, "B T S"]:
    """Return the last items up to and with every position, latest first, padded with -1.

    Args:
        items: item at every position, -1 at positions without one.
        documents: document id of every position.
        num_steps: number of items to return.
    """
    rows = torch.arange(len(documents), device=documents.device)[:, None]
    history = (documents + rows * (documents.max() + 1)).flatten()
    is_item = (items >= 0).flatten()
    flat, owner = items.flatten()[is_item], history[is_item]
    if not len(flat):
        return items.new_full((*items.shape, num_steps), -1)
    index = is_item.cumsum(0)[:, None] - 1 - torch.arange(num_steps, device=items.device)
    at = index.clamp_min(0)
    is_own = (index >= 0) & (owner[at] == history[:, None])
    return torch.where(is_own, flat[at], -1).view(*items.shape, num_steps)


def last_items_after(
    histories: Sequence[Int[np.ndarray, " T"]], num_steps: int
) -> Int[Tensor, "B S"]:
    """Return ``last_items`` at the ends of histories of items, each of which may be empty."""
    if not len(histories):
        return torch.full((0, num_steps), -1)
    ends = [history[-num_steps:] for history in histories]
    lengths = torch.tensor([1 + len(end) for end in ends], dtype=torch.long)
    start = np.array([-1])  # a position without an item, so that an empty history has an end
    flat = np.concatenate([part for end in ends for part in (start, end)])
    items = torch.from_numpy(flat.astype(np.int64))[None]
    documents = torch.arange(len(ends)).repeat_interleave(lengths)[None]
    return last_items(items, documents, num_steps)[0, lengths.cumsum(0) - 1]


def with_next_item(
    last_items: Int[Tensor, "*shape S"], items: Int[Tensor, "*shape"]
) -> Int[Tensor, "*shape S"]:
    """Return the last items of histories that are each extended by one item."""
    return torch.cat([items[..., None], last_items[..., :-1]], dim=-1)
