"""A transition prior by the mean of the last items' transition probabilities."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.models.transition_prior.counts import TransitionPrior, replace_labels


class TransitionMean(TransitionPrior):
    """The log-probability of the next item under a mixture of the last items' transitions.

    After items ``i_0, i_1, ...``, the most recent first, the prior probability of ``j`` is the
    mean over steps ``s``, weighted by ``query_decay ** s``, of ``(weight(i_s -> j) + smoothing *
    popularity(j)) / (leaving(i_s) + smoothing)``.
    """

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
        weights = [step_decay**step for step in range(max_steps)]
        super().__init__(
            num_items,
            num_edges,
            distance_weights=weights,
            num_recent=max_steps,
            strength=strength,
        )
        self.query_decay = query_decay
        self.smoothing = smoothing

    def edge_values(self, weight: Float[Tensor, " E"]) -> Float[Tensor, " E"]:
        return weight

    def logits(
        self,
        last_items: Int[Tensor, "B S"],
        start: int,
        stop: int,
        labels: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B tile"]:
        return self.probabilities(last_items, start, stop, labels).log_().mul_(self.strength)

    def logits_at(
        self, last_items: Int[Tensor, "B S"], items: Int[Tensor, "B C"]
    ) -> Float[Tensor, "B C"]:
        source, step_weight = last_items.clamp_min(0), self.step_weights(last_items)
        share = step_weight / (self.leaving[source] + self.smoothing)
        popularity_share = (share * self.smoothing).sum(dim=1) + 1 - step_weight.sum(dim=1)
        total = (share[:, :, None] * self.values_at(source, items)).sum(dim=1)
        total = total + popularity_share[:, None] * self.popularity[items]
        return total.log_().mul_(self.strength)

    def step_weights(self, last_items: Int[Tensor, "B S"]) -> Float[Tensor, "B S"]:
        """Return the weight of every step; they sum to 1, to 0 after an empty history."""
        steps = torch.arange(self.num_recent, device=last_items.device)
        weight = self.query_decay**steps * (last_items >= 0)
        has_any = (last_items >= 0).any(dim=1, keepdim=True)
        return weight / weight.sum(dim=1, keepdim=True).where(has_any, 1)

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
        own, step_weight = self.own_transitions(last_items), self.step_weights(last_items)
        leaving = self.leaving[source]
        if labels is not None:
            leaving = (leaving - own * (labels >= 0)[:, None]).clamp_min(0)
        share = step_weight / (leaving + self.smoothing)
        popularity_share = (share * self.smoothing).sum(dim=1) + 1 - step_weight.sum(dim=1)
        if (start, stop) == (0, len(self.leaving)) and self.is_dense:
            total = self._sum_rows(source, share)
            total.addcmul_(popularity_share[:, None], self.popularity.to(total.dtype))
            if labels is not None:
                label, matrix = labels.clamp_min(0)[:, None], self.whole_matrix(share.dtype)
                count = (matrix[source, label] - own).clamp_min(0)
                smoothed = popularity_share[:, None] * self.popularity[label]
                without_own = smoothed + (share * count).sum(dim=1, keepdim=True)
                replace_labels(total, labels, without_own)
            return total
        total = popularity_share[:, None] * self.popularity[start:stop]
        rows = torch.arange(len(source), device=source.device)
        for step in range(self.num_recent):
            first, end = (self.find_edge(source[:, step], item) for item in (start, stop))
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

    def _sum_rows(
        self, source: Int[Tensor, "B S"], share: Float[Tensor, "B S"]
    ) -> Float[Tensor, "B I"]:
        """Return weighted sums of rows of transitions."""
        dtype = self.sum_dtype(share)
        matrix, weights = self.whole_matrix(dtype), share.to(dtype)
        total = F.embedding_bag(source, matrix, per_sample_weights=weights, mode="sum")
        return total.to(share.dtype)
