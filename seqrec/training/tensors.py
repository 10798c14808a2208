"""Packed NumPy batches as tensors."""

from typing import Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from seqrec.losses.preference import Answers
from seqrec.tokens.streams.batches import PackedBatch, PairBatch, RewardBatch

PackedTensors = PackedBatch[Tensor]
PairTensors = PairBatch[Tensor]
RewardTensors = RewardBatch[Tensor]
Batch = TypeVar("Batch", PackedTensors, PairTensors, RewardTensors)


@overload
def as_tensors(batch: PackedBatch[np.ndarray]) -> PackedTensors: ...


@overload
def as_tensors(batch: PairBatch[np.ndarray]) -> PairTensors: ...


@overload
def as_tensors(batch: RewardBatch[np.ndarray]) -> RewardTensors: ...


def as_tensors(batch: Any) -> Any:
    """Return the batch with a tensor for every array, which shares the array's memory."""
    parts = (torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in batch)
    return type(batch)(*parts)


def queue_copy(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on a device; the host does not wait for a copy to a GPU."""
    return tensor.to(device, non_blocking=device.type not in ("cpu", "mps"))


def move_batch(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on a device."""
    parts: Any = (queue_copy(part, device) if isinstance(part, Tensor) else part for part in batch)
    return type(batch)(*parts)


def get_answers(batch: PairTensors) -> Answers:
    """Return the lengths of the answers of all pairs."""
    return Answers((batch.chosen_at >= 0).sum(dim=1), (batch.rejected_at >= 0).sum(dim=2))
