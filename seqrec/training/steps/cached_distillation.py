"""Distillation from a cache of the teachers' top items, without the teachers."""

from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.data.caches.teacher import CachedTopK
from seqrec.losses.softmax import CatalogScores
from seqrec.losses.teachers import TopKDistribution
from seqrec.losses.top_k_divergence import without_tail
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.training.steps.distillation import read_scores
from seqrec.training.steps.targets import TargetPositions
from seqrec.training.tensors import PackedTensors


class TopKDivergence(Protocol):
    """A divergence of a student from its teachers' top-k distribution; settings are bound."""

    def __call__(
        self,
        student: CatalogScores,
        teacher: TopKDistribution,
        *,
        labels: Tensor | None,
        label_share: float,
        row_weight: Tensor,
        total_weight: float,
    ) -> Tensor: ...


def top_k_loss(
    model: SeqRecForNextItem,
    batch: PackedTensors,
    *,
    reader: "CacheReader",
    divergence: TopKDivergence,
    sft_share: float,
) -> Float[Tensor, ""]:
    """``distillation_loss`` with the teachers' cached top-k distributions.

    Args:
        model: the student.
        batch: packed histories with the log rows of their positions.
        reader: reads the cached distributions.
        divergence: divergence from a top-k distribution.
        sft_share: share of the cross-entropy of the next items.
    """
    learned = TargetPositions.of(batch)
    assert batch.sources is not None
    teacher = reader(batch.sources.flatten()[learned.positions])
    item_weight = model.item_weight()
    student = read_scores(model, batch, learned.positions, learned.labels, item_weight=item_weight)
    losses = [
        divergence(
            member,
            teacher,
            labels=learned.labels,
            label_share=sft_share,
            row_weight=learned.weight,
            total_weight=batch.total_weight,
        )
        for member in model.per_member(student)
    ]
    return torch.stack(losses).mean()


class CacheReader:
    """Reads the teachers' cached distribution after a row of the log."""

    def __init__(self, cached: CachedTopK, num_rows: int, use_tail_mass: bool = True) -> None:
        """Index the cache by log row.

        Args:
            cached: top-k distributions at every learned position.
            num_rows: number of rows of the log.
            use_tail_mass: items outside the cache share the remaining probability; False: they
                have probability 0.
        """
        self.cached = cached
        self.use_tail_mass = use_tail_mass
        self._index = np.full(num_rows, -1, dtype=np.int32)
        self._index[cached.rows] = np.arange(len(cached.rows), dtype=np.int32)

    def __call__(self, rows: Int[Tensor, " N"]) -> TopKDistribution:
        index = self._index[rows.cpu().numpy()]
        assert (index >= 0).all()
        parts = (
            self.cached.items[index],
            self.cached.log_prob[index],
            self.cached.tail_mass[index],
        )
        items, log_prob, tail_mass = (torch.from_numpy(part).to(rows.device) for part in parts)
        teacher = TopKDistribution(items.long(), log_prob.float(), tail_mass.float())
        return teacher if self.use_tail_mass else without_tail(teacher)
