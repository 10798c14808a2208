"""A transition prior by the product of every history item's transition probabilities."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses import host
from seqrec.models.transition_prior.counts import TransitionPrior, replace_labels


class TransitionProduct(TransitionPrior):
    """A weighted mean of the items' log-probabilities: the log of a product of experts.

    Every item of the history is an expert on the next one, which gives ``j`` a probability
    proportional to ``weight(i_s -> j) + smoothing / num_items``. The score is the mean over the
    history of ``log(1 + weight(i_s -> j) * num_items / smoothing)``, weighted by the kernel of
    ``kernel_weights``, less ``popularity_penalty * log popularity(j)``. It differs from the mean of
    the log-probabilities by a constant of the history. Pairs that never occurred add nothing, so
    that a sum over long histories is sparse. After an empty history it is the log of popularity.

    Source: the formula of PCTM, RecSys 2026 (spotify-research/sequential-capacity-probes), for a
        baseline; here it is added to the logits of a decoder that is trained with it.
    """

    def __init__(
        self,
        num_items: int,
        num_edges: int,
        *,
        max_steps: int,
        distance_exponent: float,
        smoothing: float,
        max_items: int,
        recent_items: int,
        recent_share: float,
        history_decay: float,
        popularity_penalty: float,
        strength: float,
    ) -> None:
        """Initialise an empty prior; ``load_transitions`` fills it.

        Args:
            num_items: catalog size.
            num_edges: number of transitions.
            max_steps: largest distance of two items whose transition counts.
            distance_exponent: a transition over ``d`` steps adds ``d ** -distance_exponent``.
            smoothing: pseudo-transitions of every item, even over the catalog.
            max_items: last items of a history that are experts.
            recent_items: last items that share ``recent_share`` of the weight.
            recent_share: their share; earlier items share the rest evenly.
            history_decay: weight of one of them relative to the item after it.
            popularity_penalty: exponent by which popularity divides the product.
            strength: factor of the score.
        """
        super().__init__(
            num_items,
            num_edges,
            distance_weights=[step**-distance_exponent for step in range(1, max_steps + 1)],
            num_recent=max_items,
            strength=strength,
        )
        self.scale = num_items / smoothing
        self.recent_items = recent_items
        self.recent_share = recent_share
        self.history_decay = history_decay
        self.popularity_penalty = popularity_penalty

    def edge_values(self, weight: Float[Tensor, " E"]) -> Float[Tensor, " E"]:
        return (weight * self.scale).log1p()

    def settings_over(self, num_items: int) -> dict[str, float]:
        return {"smoothing": num_items / self.scale}

    def logits(
        self,
        last_items: Int[Tensor, "B S"],
        start: int,
        stop: int,
        labels: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B tile"]:
        source, share = last_items.clamp_min(0), self.kernel_weights(last_items)
        log_popularity = self.popularity[start:stop].log()
        if (start, stop) == (0, len(self.leaving)) and self.is_dense:
            total = self._sum_dense(source, share)
            if labels is not None:
                self._leave_out(total, last_items, share, labels)
        else:
            total = self._sum_edges(last_items, share, start, stop, labels)
        factor = self._popularity_factor(last_items).to(total.dtype)
        return total.addcmul_(factor, log_popularity).mul_(self.strength)

    def logits_at(
        self, last_items: Int[Tensor, "B S"], items: Int[Tensor, "B C"]
    ) -> Float[Tensor, "B C"]:
        source, share = last_items.clamp_min(0), self.kernel_weights(last_items)
        total = (share[:, :, None] * self.values_at(source, items)).sum(dim=1)
        factor = self._popularity_factor(last_items).to(total.dtype)
        return total.addcmul_(factor, self.popularity[items].log()).mul_(self.strength)

    def _popularity_factor(self, last_items: Int[Tensor, "B S"]) -> Float[Tensor, "B 1"]:
        """Return the factor of the log of popularity: 1 after an empty history."""
        is_empty = (last_items < 0).all(dim=1, keepdim=True)
        return torch.where(is_empty, 1.0, -self.popularity_penalty)

    def kernel_weights(self, last_items: Int[Tensor, "B S"]) -> Float[Tensor, "B S"]:
        """Return the weight of every history item; they sum to 1, to 0 for an empty history."""
        is_item = last_items >= 0
        length = is_item.sum(dim=1, keepdim=True)
        steps = torch.arange(last_items.shape[1], device=last_items.device)
        decayed = self.history_decay**steps * (steps < self.recent_items) * is_item
        head = decayed / decayed.sum(dim=1, keepdim=True).where(length > 0, 1)
        num_others = length - self.recent_items
        tail = is_item * (steps >= self.recent_items) / num_others.clamp_min(1)
        share = torch.where(num_others > 0, self.recent_share, 1.0)
        return (share * head + (1 - share) * tail).to(self.weight.dtype)

    def _sum_dense(
        self, source: Int[Tensor, "B S"], share: Float[Tensor, "B S"]
    ) -> Float[Tensor, "B I"]:
        """Return weighted sums of rows, each read once for all histories that hold its item.

        A GPU multiplies all rows of the matrix, as its host would wait for those that occur.
        """
        dtype = self.sum_dtype(share)
        matrix = self.whole_matrix(dtype)
        if not host.is_on_host(share):
            weights = share.new_zeros(len(source), len(matrix)).scatter_add_(1, source, share)
            return (weights.to(dtype) @ matrix).to(share.dtype)
        items, column = source[share > 0].unique(return_inverse=True)
        weights = share.new_zeros(len(source), len(items))
        row = (share > 0).nonzero()[:, 0]
        weights.index_put_((row, column), share[share > 0], accumulate=True)
        return (weights.to(dtype) @ matrix[items]).to(share.dtype)

    def _leave_out(
        self,
        total: Float[Tensor, "B I"],
        last_items: Int[Tensor, "B S"],
        share: Float[Tensor, "B S"],
        labels: Int[Tensor, " B"],
    ) -> None:
        """Replace the sums of the labels by those without their own occurrences."""
        own, label = self.own_transitions(last_items), labels.clamp_min(0)[:, None]
        evidence = self.whole_matrix(share.dtype)[last_items.clamp_min(0), label]
        count = (evidence.expm1() / self.scale - own).clamp_min(0)
        without_own = (share * self.edge_values(count)).sum(dim=1, keepdim=True)
        replace_labels(total, labels, without_own)

    def _sum_edges(
        self,
        last_items: Int[Tensor, "B S"],
        share: Float[Tensor, "B S"],
        start: int,
        stop: int,
        labels: Int[Tensor, " B"] | None,
    ) -> Float[Tensor, "B tile"]:
        """Return the sums of a range of items, from the edges that lead to it."""
        row, step = (share > 0).nonzero(as_tuple=True)
        source = last_items[row, step]
        first, end = (self.find_edge(source, item) for item in (start, stop))
        num_edges = end - first
        pair = torch.arange(len(row), device=row.device).repeat_interleave(num_edges)
        before = num_edges.cumsum(0) - num_edges
        edge = torch.arange(len(pair), device=row.device) + (first - before)[pair]
        target, weight = self.target[edge], self.weight[edge]
        if labels is not None:
            own = self.own_transitions(last_items)[row, step]
            weight = (weight - own[pair] * (target == labels[row][pair])).clamp_min(0)
        total = share.new_zeros(len(last_items), stop - start)
        values = self.edge_values(weight) * share[row, step][pair]
        return total.index_put_((row[pair], target - start), values, accumulate=True)
