"""Negatives of a step, and their expected counts."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses import host
from seqrec.losses.catalog import IGNORE_INDEX

Distribution = Literal["uniform", "popularity", "in_batch", "mixed"]


class Negatives(NamedTuple):
    """Negatives shared by all positions of a step."""

    items: Int[Tensor, " S"]
    log_count: Float[Tensor, " S"]
    """Log of the expected number of draws of the item in a step: ``log(S * q(item))``."""


class NegativeSampler:
    """Draws negatives with replacement by torch's global generator.

    The cost of a draw does not grow with the catalog.
    """

    def __init__(
        self,
        *,
        num_negatives: int,
        distribution: Distribution,
        item_counts: Int[Tensor, " I"],
        power: float,
        in_batch_share: float,
    ) -> None:
        """Set the number and the distribution of the negatives.

        Args:
            num_negatives: number of items of a draw.
            distribution: ``uniform`` over the catalog; by ``popularity``, in proportion to
                ``item_counts ** power``, so that an item without a count is never drawn;
                ``in_batch``, from the labels of the batch; ``mixed``, ``in_batch_share`` of the
                draws from the batch and the others uniform.
            item_counts: training interactions of every item of the catalog.
            power: power of the counts under ``popularity``, from 0 to 1.
            in_batch_share: share of in-batch draws under ``mixed``, rounded to whole draws.

        Source: Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus item
            recommendations", for the correction of in-batch items by their frequency; we count the
            training data instead of estimating the frequency from the stream, and draw from the
            labels instead of taking all of them. Yang et al. 2020, "Mixed negative sampling for
            learning two-tower neural networks in recommendations", for the mixture.
        """
        self.num_negatives = num_negatives
        self.item_counts = item_counts
        self.num_interactions = int(item_counts.sum())
        self.power = power
        share = {"in_batch": 1.0, "mixed": in_batch_share}.get(distribution, 0.0)
        self.num_in_batch = round(share * num_negatives)
        self.cumulative: Tensor | None = None
        if distribution == "popularity":
            # torch.multinomial refuses large catalogs, and reads all items at every draw
            self.cumulative = self._popularity(item_counts).cumsum_(0)

    def draw(self, labels: Int[Tensor, " N"], num_items: int | None = None) -> Negatives:
        """Draw the negatives of a step.

        Expected counts assume that the labels come from the training data: ``q`` of an in-batch
        draw is the item's share of the training counts, which are at least 1. Every item of a
        mixture has the expected count of the whole mixture. Without labels, in-batch draws become
        uniform.

        Args:
            labels: the labels of the step; ``IGNORE_INDEX`` is never drawn.
            num_items: uniform draws are among this number of first items of the catalog; among all
                if absent.
        """
        self._move_to(labels.device)
        if self.cumulative is not None:
            return self._draw_by_popularity(self.cumulative)
        num_items = num_items or len(self.item_counts)
        items = torch.randint(num_items, (self.num_negatives,), device=labels.device)
        if not (self.num_in_batch and len(labels)):
            share = items.new_full(items.shape, self.num_negatives / num_items, dtype=torch.float32)
            return Negatives(items, share.log())
        # targets are found by their rank: the host of a GPU would wait for a selection's size
        rank = (labels != IGNORE_INDEX).cumsum(0)
        num_targets = rank[-1]
        point = torch.rand(self.num_in_batch, dtype=torch.float64, device=labels.device)
        at = torch.searchsorted(rank, (point * num_targets).long(), right=True)
        targets = labels[at.clamp_max(len(labels) - 1)]
        items[: self.num_in_batch] = targets.where(num_targets > 0, items[: self.num_in_batch])
        num_in_batch = self.num_in_batch * (num_targets > 0)
        in_batch_probability = self.item_counts[items].clamp_min(1).double() / self.num_interactions
        num_uniform = self.num_negatives - num_in_batch
        count = num_in_batch * in_batch_probability + num_uniform / num_items
        return Negatives(items, count.log().float())

    def _draw_by_popularity(self, cumulative: Float[Tensor, " I"]) -> Negatives:
        """Draw by the inverse of the cumulative distribution function."""
        total = cumulative[-1]
        point = torch.rand(self.num_negatives, dtype=total.dtype, device=total.device) * total
        items = torch.searchsorted(cumulative, point, right=True)
        count = self.num_negatives * self._popularity(self.item_counts[items]) / total
        return Negatives(items, count.log().float())

    def _popularity(self, counts: Int[Tensor, " K"]) -> Float[Tensor, " K"]:
        return counts.double().pow_(self.power).mul_(counts > 0)

    def _move_to(self, device: torch.device) -> None:
        if self.item_counts.device != device:
            self.item_counts = self.item_counts.to(device)
            self.cumulative = None if self.cumulative is None else self.cumulative.to(device)


class LabelHits:
    """Excludes the negatives that equal their row's label.

    On a CPU they are looked up. A GPU compares all, as its host would wait for their number.
    """

    def __init__(self, labels: Int[Tensor, " N"], items: Int[Tensor, " S"]) -> None:
        self.labels = labels
        self.items = items
        self.is_on_host = host.is_on_host(labels)
        if self.is_on_host:
            self.sorted_items, self.order = items.sort()

    def exclude_from(self, scores: Float[Tensor, "C S"], rows: slice) -> None:
        """Set the scores of hits to minus infinity, in place."""
        if self.is_on_host:
            scores[self._find(rows)] = -torch.inf
        else:
            scores.masked_fill_(self.labels[rows, None] == self.items, -torch.inf)

    def _find(self, rows: slice) -> tuple[Int[Tensor, " H"], Int[Tensor, " H"]]:
        """Return the row, counted from the first of ``rows``, and the negative of each hit."""
        labels = self.labels[rows]
        first = torch.searchsorted(self.sorted_items, labels)
        num_hits = torch.searchsorted(self.sorted_items, labels, right=True) - first
        row = torch.repeat_interleave(num_hits)
        hits_before = num_hits.cumsum(0) - num_hits
        nth = torch.arange(len(row), device=row.device) - hits_before[row]
        return row, self.order[first[row] + nth]
