"""Items drawn for a step, against which its labels are told apart."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.catalog import IGNORE_INDEX

Distribution = Literal["uniform", "popularity", "in_batch", "mixed"]


class Negatives(NamedTuple):
    """Items shared by all positions of a step."""

    items: Int[Tensor, " S"]
    log_count: Float[Tensor, " S"]
    """Log of how often a step is expected to draw the item: ``log(S * q(item))``."""


class NegativeSampler:
    """Negatives, drawn with replacement by torch's global generator.

    A step costs nothing in proportion to the catalog.
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
        """What to draw, and from what.

        Args:
            num_negatives: items of a draw.
            distribution: ``uniform`` over the catalog; by ``popularity``, in proportion to
                ``item_counts ** power``, so that an item without a count is never drawn;
                ``in_batch``, from the labels of the batch; ``mixed``, ``in_batch_share`` of the
                draws from the batch and the rest uniform.
            item_counts: training interactions of every item of the catalog.
            power: from 0, alike for all items that have a count, to 1, in proportion to it.
            in_batch_share: from 0 to 1; rounded to whole draws.

        Source: Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus item
            recommendations", for in-batch items weighed by how often items occur; we count the
            training data instead of estimating it from the stream, and draw from the labels
            instead of taking them all. Yang et al. 2020, "Mixed negative sampling for learning
            two-tower neural networks in recommendations", for the mixture.
        """
        self.num_negatives = num_negatives
        self.item_counts = item_counts
        self.num_interactions = int(item_counts.sum())
        self.power = power
        share = {"in_batch": 1.0, "mixed": in_batch_share}.get(distribution, 0.0)
        self.num_in_batch = round(share * num_negatives)
        self.cumulative: Tensor | None = None
        if distribution == "popularity":
            # Not torch.multinomial: it refuses large catalogs and reads all of one at every draw.
            self.cumulative = self._popularity(item_counts).cumsum_(0)

    def draw(self, labels: Int[Tensor, " N"], num_items: int | None = None) -> Negatives:
        """Items against which all of these labels can be told apart.

        An item's count is the expected one of a draw whose labels come from the training data:
        ``q`` of an in-batch draw is the item's share in the training counts, as if it had at
        least one. Every draw of a mixture has the expected count of the whole mixture, however it
        came about. If no label counts, what would be in-batch is uniform.

        Args:
            labels: the labels of the step; ``IGNORE_INDEX`` is never drawn.
            num_items: uniform draws are from that many of the catalog's first items; from all if
                absent.
        """
        self._move_to(labels.device)
        if self.cumulative is not None:
            return self._draw_by_popularity(self.cumulative)
        targets = labels[labels != IGNORE_INDEX]
        num_in_batch = self.num_in_batch if len(targets) else 0
        num_uniform = self.num_negatives - num_in_batch
        num_items = num_items or len(self.item_counts)
        place = torch.randint(max(len(targets), 1), (num_in_batch,), device=labels.device)
        uniform = torch.randint(num_items, (num_uniform,), device=labels.device)
        items = torch.cat([targets[place], uniform])
        in_batch_probability = self.item_counts[items].clamp_min(1).double() / self.num_interactions
        count = num_in_batch * in_batch_probability + num_uniform / num_items
        return Negatives(items, count.log().float())

    def _draw_by_popularity(self, cumulative: Float[Tensor, " I"]) -> Negatives:
        """The inverse of the distribution function, at points that are below its end."""
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
