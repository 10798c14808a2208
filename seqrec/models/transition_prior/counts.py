"""A sparse matrix of transitions, and the interface of the priors over it."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

MAX_CELLS, CELLS_PER_EDGE = 1 << 26, 64
"""Limits of a dense transition matrix, in cells. For small catalogs that are not too sparse, sums
of whole rows take a fraction of the time of gathering their edges."""


class TransitionPrior(nn.Module):
    """A score of every next item from transition counts, added to logits with a strength.

    The softmax of the sum is proportional to ``softmax * exp(score) ** strength``. Subclasses turn
    counts into scores.

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
        distance_weights: Sequence[float],
        num_recent: int,
        strength: float,
    ) -> None:
        """Initialise an empty prior; ``load_transitions`` fills it.

        Args:
            num_items: catalog size.
            num_edges: number of transitions.
            distance_weights: what a transition adds to the counts, by its distance from 1.
            num_recent: last items of a history that the prior is conditioned on.
            strength: factor of the scores.
        """
        super().__init__()
        self.distance_weights = tuple(distance_weights)
        self.num_recent = num_recent
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

    @abstractmethod
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

    @abstractmethod
    def logits_at(
        self, last_items: Int[Tensor, "B S"], items: Int[Tensor, "B C"]
    ) -> Float[Tensor, "B C"]:
        """Return ``logits`` of some items, other ones for every history."""

    @abstractmethod
    def edge_values(self, weight: Float[Tensor, " E"]) -> Float[Tensor, " E"]:
        """Return what edges of some counts add to the score of their target."""

    def settings_over(self, num_items: int) -> dict[str, float]:
        """Return the settings that differ over another catalog for edges of the same values."""
        return {}

    def own_transitions(self, last_items: Int[Tensor, "B S"]) -> Float[Tensor, "B S"]:
        """Return what the transitions to the next item of each history added to the counts.

        They are those from each of the last items to it. An item that stands there repeatedly
        counts repeatedly.
        """
        near = last_items[:, : len(self.distance_weights)]
        weights = torch.tensor(self.distance_weights, device=near.device)[: near.shape[1]]
        is_same = (last_items[:, :, None] == near[:, None, :]) & (near >= 0)[:, None, :]
        return (is_same * weights).sum(dim=2)

    @property
    def is_dense(self) -> bool:
        """Test whether the whole matrix is small enough to be held."""
        num_cells = len(self.leaving) ** 2
        return num_cells <= min(MAX_CELLS, CELLS_PER_EDGE * len(self.target))

    def sum_dtype(self, share: Float[Tensor, "B S"]) -> torch.dtype:
        """Return the precision of sums of whole rows: bfloat16 where autocast uses it."""
        kind = share.device.type
        if torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16:
            return torch.bfloat16
        return share.dtype

    def whole_matrix(self, dtype: torch.dtype) -> Float[Tensor, "I I"]:
        """Return the dense matrix of edge values, cached until the weights change."""
        version = 0 if self.weight.is_inference() else self.weight._version
        key = self.weight.device, self.weight.data_ptr(), version
        if dtype not in self._matrices or self._matrices[dtype][0] != key:
            num_items = len(self.leaving)
            matrix = self.weight.new_zeros(num_items, num_items, dtype=dtype)
            items = torch.arange(num_items, device=matrix.device)
            source = items.repeat_interleave(self.first_edge.diff())
            matrix[source, self.target] = self.edge_values(self.weight).to(dtype)
            self._matrices[dtype] = key, matrix
        return self._matrices[dtype][1]

    def values_at(
        self, source: Int[Tensor, "B S"], items: Int[Tensor, "B C"]
    ) -> Float[Tensor, "B S C"]:
        """Return the edge values from every source to every item; 0 where there is no edge."""
        sources, targets = torch.broadcast_tensors(source[:, :, None], items[:, None, :])
        if self.is_dense:
            return self.whole_matrix(self.weight.dtype)[sources, targets]
        if not len(self.target):
            return self.weight.new_zeros(targets.shape)
        low, end = self.first_edge[sources], self.first_edge[sources + 1]
        high, last = end, len(self.target) - 1
        while bool((low < high).any()):
            middle = (low + high) // 2
            is_below = (self.target[middle.clamp_max(last)] < targets) & (middle < high)
            low, high = torch.where(is_below, middle + 1, low), torch.where(is_below, high, middle)
        edge = low.clamp_max(last)
        is_edge = (low < end) & (self.target[edge] == targets)
        return self.edge_values(self.weight[edge]) * is_edge

    def find_edge(self, source: Int[Tensor, "*shape"], item: int) -> Int[Tensor, "*shape"]:
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


def replace_labels(
    scores: Float[Tensor, "B I"], labels: Int[Tensor, " B"], values: Float[Tensor, "B 1"]
) -> None:
    """Replace the score of every row's label, in place; a label below 0 replaces nothing."""
    label = labels.clamp_min(0)[:, None]
    kept = scores.gather(1, label)
    scores.scatter_(1, label, values.to(scores.dtype).where((labels >= 0)[:, None], kept))
