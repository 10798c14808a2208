"""The transition memory: what followed the last titles, mixed into the head's probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

MAX_CELLS, CELLS_PER_EDGE = 1 << 26, 64
"""Of a matrix of all transitions, at most: it is held whole where catalogs are small and it is not
almost empty, since adding up whole rows takes a fraction of the time of finding their edges."""


class TransitionPrior(nn.Module):
    """A distribution over the next item that is looked up, and how much it has to say.

    After items ``i_0, i_1, ...``, the most recent first, the memory's probability of ``j`` is the
    mean over steps ``s``, weighted by ``query_decay ** s``, of ``(weight(i_s -> j) + smoothing *
    popularity(j)) / (leaving(i_s) + smoothing)``. Its logarithm, times ``strength``, is added to
    the head's logits: the softmax of the sum is proportional to ``softmax * memory ** strength``.

    Source: Khandelwal et al. 2020, arXiv:1911.00172, for a memory beside a language model; the
        neighbours here are titles instead of hidden states, and the two are mixed as logarithms
        (Klakow 1998, "Log-linear interpolation of language models").
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
        """An empty memory.

        Args:
            num_items: the catalog's size.
            num_edges: edges that it will hold.
            max_steps: last items of a history that it is asked with.
            step_decay: what a transition was counted, relative to one a step shorter.
            query_decay: what an item is asked for, relative to the one after it.
            smoothing: transitions of any item that popularity stands for.
            strength: what its log-probabilities are multiplied by.
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
        """Take in a matrix of transitions, and how often each item was met."""
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
        """What is added to a head's logits of items ``start .. stop - 1`` after each history.

        Args:
            last_items: what ``last_items`` says of each history.
            start: the first item.
            stop: the item after the last one.
            labels: in training, the item that each history went on with; below 0 where there is
                none. Its own transitions are taken out of the counts: the memory is asked as if it
                had never met them. Popularity keeps it.
        """
        found = self.probabilities(last_items, start, stop, labels)
        return found.log_().mul_(self.strength)

    def probabilities(
        self,
        last_items: Int[Tensor, "B S"],
        start: int,
        stop: int,
        labels: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B tile"]:
        """Of the items ``start .. stop - 1`` after each history, under the memory alone.

        Under autocast to bfloat16 whole rows of transitions have its precision.
        """
        source = last_items.clamp_min(0)
        steps = torch.arange(self.max_steps, device=source.device)
        is_same = (source[:, :, None] == source[:, None, :]) & (last_items >= 0)[:, None, :]
        own = (is_same * self.step_decay**steps).sum(dim=2)  # an item met twice counted twice
        step_weight = self.query_decay**steps * (last_items >= 0)
        has_any = (last_items >= 0).any(dim=1, keepdim=True)
        step_weight = step_weight / step_weight.sum(dim=1, keepdim=True).where(has_any, 1)
        leaving = self.leaving[source]
        if labels is not None:
            leaving = (leaving - own * (labels >= 0)[:, None]).clamp_min(0)
        share = step_weight / (leaving + self.smoothing)
        of_popularity = (share * self.smoothing).sum(dim=1) + 1 - step_weight.sum(dim=1)
        if (start, stop) == (0, len(self.leaving)) and self._is_dense:
            found = self._sum_rows(source, share)
            found.addcmul_(of_popularity[:, None], self.popularity.to(found.dtype))
            if labels is not None:
                row = (labels >= 0).nonzero().squeeze(1)
                label, matrix = labels[row], self._whole_matrix(share.dtype)
                met = (matrix[source[row], label[:, None]] - own[row]).clamp_min(0)
                of_label = of_popularity[row] * self.popularity[label]
                found[row, label] = of_label + (share[row] * met).sum(dim=1)
            return found
        found = of_popularity[:, None] * self.popularity[start:stop]
        rows = torch.arange(len(source), device=source.device)
        for step in range(self.max_steps):
            first, end = (self._place(source[:, step], item) for item in (start, stop))
            num_edges = (end - first) * (last_items[:, step] >= 0)
            row = rows.repeat_interleave(num_edges)
            before = num_edges.cumsum(0) - num_edges
            edge = torch.arange(len(row), device=row.device) + (first - before)[row]
            target, weight = self.target[edge], self.weight[edge]
            if labels is not None:
                weight = (weight - own[row, step] * (target == labels[row])).clamp_min(0)
            into = (row, target - start)
            found.index_put_(into, weight * share[row, step], accumulate=True)
        return found

    @property
    def _is_dense(self) -> bool:
        num_cells = len(self.leaving) ** 2
        return num_cells <= min(MAX_CELLS, CELLS_PER_EDGE * len(self.target))

    def _sum_rows(
        self, source: Int[Tensor, "B S"], share: Float[Tensor, "B S"]
    ) -> Float[Tensor, "B I"]:
        """Rows of transitions added up; in half the bytes where logits have no more precision."""
        dtype, kind = share.dtype, share.device.type
        if torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16:
            dtype = torch.bfloat16
        matrix, share_of = self._whole_matrix(dtype), share.to(dtype)
        found = F.embedding_bag(source, matrix, per_sample_weights=share_of, mode="sum")
        return found.to(share.dtype)

    def _whole_matrix(self, dtype: torch.dtype) -> Float[Tensor, "I I"]:
        """The weight of every transition; made where it is first asked for."""
        version = 0 if self.weight.is_inference() else self.weight._version
        made_of = self.weight.device, self.weight.data_ptr(), version
        if dtype not in self._matrices or self._matrices[dtype][0] != made_of:
            num_items = len(self.leaving)
            matrix = self.weight.new_zeros(num_items, num_items, dtype=dtype)
            items = torch.arange(num_items, device=matrix.device)
            source = items.repeat_interleave(self.first_edge.diff())
            matrix[source, self.target] = self.weight.to(dtype)
            self._matrices[dtype] = made_of, matrix
        return self._matrices[dtype][1]

    def _place(self, source: Int[Tensor, " B"], item: int) -> Int[Tensor, " B"]:
        """Of the edges of every source, the first that leads to ``item`` or beyond: a bisection."""
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
    """The last items up to every position, its own first; -1 where the history has no more.

    Args:
        items: the item at every position, -1 at positions that hold none.
        documents: the number of the history that a position belongs to.
        num_steps: how many.
    """
    rows = torch.arange(len(documents), device=documents.device)[:, None]
    history = (documents + rows * (documents.max() + 1)).flatten()
    is_item = (items >= 0).flatten()
    found, owner = items.flatten()[is_item], history[is_item]
    if not len(found):
        return items.new_full((*items.shape, num_steps), -1)
    place = is_item.cumsum(0)[:, None] - 1 - torch.arange(num_steps, device=items.device)
    at = place.clamp_min(0)
    is_own = (place >= 0) & (owner[at] == history[:, None])
    return torch.where(is_own, found[at], -1).view(*items.shape, num_steps)


def last_items_after(
    histories: Sequence[Int[np.ndarray, " T"]], num_steps: int
) -> Int[Tensor, "B S"]:
    """``last_items`` at the ends of histories of items, each of which may be empty."""
    if not len(histories):
        return torch.full((0, num_steps), -1)
    ends = [history[-num_steps:] for history in histories]
    lengths = torch.tensor([1 + len(end) for end in ends], dtype=torch.long)
    start = np.array([-1])  # a position without an item: an empty history has an end, too
    flat = np.concatenate([part for end in ends for part in (start, end)])
    items = torch.from_numpy(flat.astype(np.int64))[None]
    documents = torch.arange(len(ends)).repeat_interleave(lengths)[None]
    return last_items(items, documents, num_steps)[0, lengths.cumsum(0) - 1]


def with_next_item(
    last_items: Int[Tensor, "*shape S"], items: Int[Tensor, "*shape"]
) -> Int[Tensor, "*shape S"]:
    """The last items of histories that each go on with one more item."""
    return torch.cat([items[..., None], last_items[..., :-1]], dim=-1)
