"""Packed NumPy batches as tensors, one class an objective."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.losses.preference import Answers
from seqrec.tokens.streams.batches import PackedBatch, PairBatch, RewardBatch


class PackedTensors(NamedTuple):
    """A ``PackedBatch`` as tensors."""

    input_ids: Int[Tensor, "B T"]
    documents: Int[Tensor, "B T"]
    labels: Int[Tensor, "B T"]
    label_weight: Float[Tensor, "B T"]
    total_weight: float
    features: Int[Tensor, "B T"] | None = None
    num_features: float = 0.0
    sources: Int[Tensor, "B T"] | None = None
    times: Int[Tensor, "B T 2"] | None = None

    @classmethod
    def of(cls, batch: PackedBatch) -> "PackedTensors":
        input_ids, documents, labels, label_weight = map(torch.from_numpy, batch[:4])
        features, sources, times = (
            None if part is None else torch.from_numpy(part)
            for part in (batch.features, batch.sources, batch.times)
        )
        return cls(
            input_ids,
            documents,
            labels,
            label_weight,
            batch.total_weight,
            features,
            batch.num_features,
            sources,
            times,
        )

    @property
    def num_targets(self) -> int:
        """Rows that go through the head."""
        return int((self.labels != IGNORE_INDEX).sum())


class PairTensors(NamedTuple):
    """A ``PairBatch`` as tensors."""

    input_ids: Int[Tensor, "B T"]
    documents: Int[Tensor, "B T"]
    labels: Int[Tensor, "B T"]
    label_weight: Float[Tensor, "B T"]
    total_weight: float
    rows: Int[Tensor, " N"]
    columns: Int[Tensor, " N"]
    candidates: Int[Tensor, "N K"]
    next_items: Int[Tensor, " N"]
    pairs: Int[Tensor, " P"]
    chosen_at: Int[Tensor, "P L"]
    rejected_at: Int[Tensor, "P R L"]
    unrelated_at: Int[Tensor, "P L"]
    pair_weight: Float[Tensor, " P"]
    total_pair_weight: float

    @classmethod
    def of(cls, batch: PairBatch) -> "PairTensors":
        return cls(
            *(torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in batch)  # type: ignore[arg-type]
        )

    @property
    def num_targets(self) -> int:
        """Rows that go through the head."""
        return len(self.rows) + int((self.labels != IGNORE_INDEX).sum())

    @property
    def histories(self) -> PackedTensors:
        """The histories alone, as SFT reads them."""
        return PackedTensors(*self[:5])

    @property
    def answers(self) -> Answers:
        """Which answers the pairs have."""
        return Answers((self.chosen_at >= 0).sum(dim=1), (self.rejected_at >= 0).sum(dim=2))


class RewardTensors(NamedTuple):
    """A ``RewardBatch`` as tensors."""

    input_ids: Int[Tensor, "B T"]
    ratings: Int[Tensor, "B T"]
    documents: Int[Tensor, "B T"]
    rows: Int[Tensor, " S"]
    columns: Int[Tensor, " S"]
    slates: Int[Tensor, "S K"]
    labels: Float[Tensor, " S"]
    events: Int[Tensor, " S"]
    total_weight: float

    @classmethod
    def of(cls, batch: RewardBatch) -> "RewardTensors":
        return cls(
            *(torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in batch)  # type: ignore[arg-type]
        )

    def to(self, device: torch.device) -> "RewardTensors":
        moved = (x.to(device) if isinstance(x, Tensor) else x for x in self)
        return RewardTensors(*moved)  # type: ignore[arg-type]

    @property
    def num_targets(self) -> int:
        """Rows that go through the head."""
        return int((self.slates >= 0).sum())
