"""Supervised fine-tuning: every position predicts the next item."""

from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.models.next_item import SeqRecForNextItem
from seqrec.tokens.packing import PackedBatch


class CatalogLoss(Protocol):
    """A loss over the catalog, its settings bound."""

    def __call__(
        self, hidden: Tensor, item_weight: Tensor, labels: Tensor, *, label_weight: Tensor
    ) -> Tensor: ...


class PackedTensors(NamedTuple):
    """A ``PackedBatch`` as tensors."""

    input_ids: Int[Tensor, "B T"]
    documents: Int[Tensor, "B T"]
    labels: Int[Tensor, "B T"]
    label_weight: Float[Tensor, "B T"]

    @classmethod
    def of(cls, batch: PackedBatch) -> "PackedTensors":
        return cls(*map(torch.from_numpy, batch))


def sft_loss(
    model: SeqRecForNextItem, batch: PackedTensors, *, loss: CatalogLoss
) -> Float[Tensor, ""]:
    """The loss of the next item at every position of packed histories, in nats."""
    hidden = model.hidden_states(batch.input_ids, batch.documents)
    return loss(
        hidden.flatten(0, 1),
        model.item_weight(),
        batch.labels.flatten(),
        label_weight=batch.label_weight.flatten(),
    )
