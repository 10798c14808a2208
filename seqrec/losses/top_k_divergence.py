"""Distillation from a teacher's top-k distribution: its most probable items and the tail mass."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqrec.losses.catalog import share_of_rows
from seqrec.losses.gradients import HeadGradients, scaled_by
from seqrec.losses.softmax import CatalogScores, CatalogSoftmax
from seqrec.losses.teachers import TopKDistribution

REMOVED_LOGIT = -1e4
"""Added to a logit, it makes the exponential 0: the listed items are removed before the others are
summed. 1 minus their mass would be rounding error where the student is confident."""


def without_tail(teacher: TopKDistribution) -> TopKDistribution:
    """Return the distribution over the listed items alone, with probability 0 for others."""
    whole = torch.logsumexp(teacher.log_prob, dim=1, keepdim=True)
    none = torch.zeros_like(teacher.tail_mass)
    return TopKDistribution(teacher.items, teacher.log_prob - whole, none)


def top_k_divergence(
    student: CatalogScores,
    teacher: TopKDistribution,
    *,
    labels: Int[Tensor, " N"] | None = None,
    label_share: float = 0.0,
    row_weight: Float[Tensor, " N"] | None = None,
    total_weight: float | None = None,
    chunk_size: int | None = None,
) -> Float[Tensor, ""]:
    """The mean forward KL divergence over the listed items and the tail as one outcome, in nats.

    ``sum(q_k * log(q_k / p_k)) + tail_mass * log(tail_mass / (1 - sum(p_k)))`` over the listed
    items ``k``, with ``p`` the student's softmax over the whole catalog. It is at most the
    divergence of the whole distributions, and equal if the student's distribution within the tail
    is the teacher's. The gradient of a listed item's logit is ``p - q``, of another's
    ``p * (1 - tail_mass / (1 - sum(p_k)))``: formed while a chunk is at hand, as many products as
    cross-entropy takes.

    Args:
        student: the trained model.
        teacher: its top-k distribution of the same rows and catalog.
        labels: the next item of every row.
        label_share: share of the loss that is the labels' cross-entropy; it costs nothing more.
        row_weight: weight of each row, not negative; all equal if absent.
        total_weight: divisor of the weighted sum, where these rows are a part of a batch; the
            weights' own sum if absent.
        chunk_size: rows scored at once; chosen by the catalog's size if absent.

    Returns:
        The weighted mean; 0 if no row counts.

    Source: the data processing inequality (Cover and Thomas 2006, section 2.8) for the bound.
    """
    return _TopKDivergence.apply(
        student.hidden,
        student.item_weight,
        share_of_rows(student.hidden, row_weight, total_weight),
        labels if label_share else None,
        label_share,
        student.logit_bias,
        teacher,
        chunk_size,
    )


def _compare(
    student: CatalogSoftmax,
    rows: slice,
    teacher: TopKDistribution,
    labels: Int[Tensor, "C 1"] | None,
    label_share: float,
    needs_gradient: bool,
) -> tuple[Float[Tensor, "C 1"], list[Tensor], Float[Tensor, "C 1"]]:
    """Return the losses of a chunk, and the gradients of its logits times the normalizer."""
    teacher_share = 1.0 if labels is None else 1 - label_share
    least = torch.finfo(student.sum_dtype).eps ** 4
    tiles = student.logits(rows)
    log_q = teacher.log_prob.to(student.sum_dtype)
    tail_mass = teacher.tail_mass.to(student.sum_dtype)[:, None]
    logits = student.at_items(tiles, teacher.items)
    label_logit = None if labels is None else student.at_items(tiles, labels)
    student.add_at_items(tiles, teacher.items, torch.full_like(logits, REMOVED_LOGIT))
    others = student.sums([tile.exp_() for tile in tiles])
    listed = logits.exp()
    normalizer = listed.sum(dim=1, keepdim=True) + others
    log_p, q = logits - normalizer.log(), log_q.exp()
    room = (others / normalizer).clamp_min(least)
    tail = tail_mass * (tail_mass.clamp_min(least).log() - room.log())
    values = teacher_share * ((q * (log_q - log_p)).sum(dim=1, keepdim=True) + tail)
    if label_logit is not None:
        values = values + label_share * (normalizer.log() - label_logit)
    if not needs_gradient:
        return values, tiles, normalizer
    weight = 1 - teacher_share * tail_mass / room  # of p, for an item that is not listed
    for tile in tiles:
        tile *= weight.to(tile.dtype)
    student.add_at_items(tiles, teacher.items, listed - teacher_share * q * normalizer)
    if labels is not None:
        student.add_at_items(tiles, labels, -label_share * normalizer)
    return values, tiles, normalizer


class _TopKDivergence(torch.autograd.Function):
    """``(share * divergence).sum()``; gradients are formed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        item_weight: Tensor,
        row_share: Tensor,
        labels: Tensor | None,
        label_share: float,
        logit_bias: Any,
        teacher: TopKDistribution,
        chunk_size: int | None,
    ) -> Tensor:
        student = CatalogSoftmax(CatalogScores(hidden, item_weight, logit_bias))
        needs_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        gradients = (
            HeadGradients(student, has_items=ctx.needs_input_grad[1]) if needs_gradient else None
        )
        loss = row_share.new_zeros(())
        for rows in student.chunks(chunk_size, num_models=2, num_arrays=1):
            part = TopKDistribution(*(of_all[rows] for of_all in teacher))
            row_labels = None if labels is None else labels[rows, None]
            values, tiles, normalizer = _compare(
                student, rows, part, row_labels, label_share, needs_gradient
            )
            loss = loss + (row_share[rows, None] * values).sum()
            if gradients is not None:
                gradients.add(rows, tiles, row_share[rows, None] / normalizer)
        if gradients is not None:
            ctx.save_for_backward(gradients.hidden, gradients.item_weight)
            ctx.dtypes = hidden.dtype, item_weight.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        hidden, item_weight = scaled_by(ctx.saved_tensors, gradients[0], ctx.dtypes)
        return hidden, item_weight, None, None, None, None, None, None
