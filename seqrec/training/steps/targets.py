"""The positions of a batch that a loss learns from, and the model's scores there."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.losses.softmax import CatalogScores
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.training.tensors import PackedTensors, PairTensors


class TargetPositions(NamedTuple):
    """The positions of a batch that have a label of a weight above 0."""

    positions: Int[Tensor, " N"]
    """Indices in the flat array of positions."""
    labels: Int[Tensor, "N *K"]
    weight: Float[Tensor, "N *K"]

    @classmethod
    def of(cls, batch: PackedTensors | PairTensors) -> "TargetPositions":
        """Return the targets of a batch and their next items."""
        labels, weight = batch.labels.flatten(), batch.label_weight.flatten()
        positions = batch.targets
        if positions is None:
            positions = ((labels != IGNORE_INDEX) & (weight > 0)).nonzero().squeeze(1)
        return cls(positions, labels[positions], weight[positions])

    def with_labels(
        self, labels: Int[Tensor, "B T K"], label_weight: Float[Tensor, "B T K"]
    ) -> "TargetPositions":
        """Return the same positions with several labels each."""
        parts = (part.flatten(0, 1)[self.positions] for part in (labels, label_weight))
        return TargetPositions(self.positions, *parts)


def scores_at(
    model: SeqRecForNextItem,
    batch: PackedTensors,
    hidden: Float[Tensor, "P D"],
    positions: Int[Tensor, " N"],
    labels: Int[Tensor, " N"] | None = None,
    *,
    num_items: int | None = None,
    item_weight: Float[Tensor, "I D"] | None = None,
) -> CatalogScores:
    """Return ``catalog_scores`` at some positions of packed histories.

    Args:
        model: the model.
        batch: packed histories.
        hidden: the model's states at every position, flat.
        positions: indices in the flat array of positions.
        labels: next items of these positions, in training.
        num_items: size of the softmax.
        item_weight: the model's item vectors.
    """
    recent = model.recent_items(batch.input_ids, batch.documents)
    return model.catalog_scores(
        hidden[positions],
        None if recent is None else recent.flatten(0, 1)[positions],
        labels=labels,
        num_items=num_items,
        item_weight=item_weight,
    )
