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
    """A divergence of a student from the kept part of its teachers' distribution."""

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


def kept_answers_loss(
    model: SeqRecForNextItem,
    batch: PackedTensors,
    *,
    answers: "CacheReader",
    divergence: TopKDivergence,
    sft_share: float,
) -> Float[Tensor, ""]:
    """``distillation_loss`` by forward divergence from what a cache kept of its teachers."""
    learned = TargetPositions.of(batch.labels, batch.label_weight)
    assert batch.sources is not None
    kept = answers(batch.sources.flatten()[learned.positions])
    item_weight = model.item_weight()
    student = read_scores(model, batch, learned.positions, learned.labels, item_weight=item_weight)
    losses = [
        divergence(
            member,
            kept,
            labels=learned.labels,
            label_share=sft_share,
            row_weight=learned.weight,
            total_weight=batch.total_weight,
        )
        for member in model.per_member(student)
    ]
    return torch.stack(losses).mean()


class CacheReader:
    """Cached answers by the row of the log that was read last."""

    def __init__(self, cached: CachedTopK, num_rows: int, use_tail_mass: bool = True) -> None:
        """Hold them.

        Args:
            cached: of every position that is learned.
            num_rows: rows of the log.
            use_tail_mass: whether the titles that were not kept share what the kept ones leave;
                else they are taken to be impossible.
        """
        self.cached = cached
        self.use_tail_mass = use_tail_mass
        self._place = np.full(num_rows, -1, dtype=np.int32)
        self._place[cached.rows] = np.arange(len(cached.rows), dtype=np.int32)

    def __call__(self, rows: Int[Tensor, " N"]) -> TopKDistribution:
        place = self._place[rows.cpu().numpy()]
        assert (place >= 0).all()
        parts = (
            self.cached.items[place],
            self.cached.log_prob[place],
            self.cached.tail_mass[place],
        )
        items, log_prob, rest = (torch.from_numpy(part).to(rows.device) for part in parts)
        kept = TopKDistribution(items.long(), log_prob.float(), rest.float())
        return kept if self.use_tail_mass else without_tail(kept)
