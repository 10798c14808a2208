"""Distillation from what was kept of a teacher: its likeliest items, and the mass of the rest."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqrec.losses.catalog import row_sums, scaled_by
from seqrec.losses.softmax import (
    CatalogScores,
    HeadGradients,
    Logits,
    add_at_items,
    at_items,
    share_of_rows,
)

GONE = -1e4
"""Added to a logit, it leaves nothing of the exponential: the kept items' are taken out before the
others' are summed. What they leave of 1 would be rounding alone where the student is sure."""


class TopKDistribution(NamedTuple):
    """What is known of a teacher's distribution in every row."""

    items: Int[Tensor, "N K"]
    """Different ones."""
    log_prob: Float[Tensor, "N K"]
    tail_mass: Float[Tensor, " N"]
    """The probability of all other items together."""


def without_tail(kept: TopKDistribution) -> TopKDistribution:
    """The distribution over the kept items alone, as if the others were impossible."""
    whole = torch.logsumexp(kept.log_prob, dim=1, keepdim=True)
    return TopKDistribution(kept.items, kept.log_prob - whole, torch.zeros_like(kept.tail_mass))


def top_k_divergence(
    student: CatalogScores,
    kept: TopKDistribution,
    *,
    labels: Int[Tensor, " N"] | None = None,
    label_share: float = 0.0,
    row_weight: Float[Tensor, " N"] | None = None,
    total_weight: float | None = None,
    chunk_size: int | None = None,
) -> Float[Tensor, ""]:
    """The mean forward KL divergence between kept items and the rest as one outcome, in nats.

    ``sum(q_k * log(q_k / p_k)) + tail_mass * log(tail_mass / (1 - sum(p_k)))`` over the kept
    items ``k``, with ``p`` the student's softmax over the whole catalog. It is never more than
    the divergence of the whole distributions, and equal where the student is right about how
    the rest is shared. The gradient of a kept item's logit is ``p - q``, of another's
    ``p * (1 - tail_mass / (1 - sum(p_k)))``: formed while a chunk is at hand, as many products as
    cross-entropy takes.

    Args:
        student: what is trained.
        kept: of the same rows and catalog.
        labels: the item that came next in every row.
        label_share: share of the loss that is the labels' cross-entropy; it costs nothing more.
        row_weight: how much each row counts, not negative; all alike if absent.
        total_weight: what the weighted sum is divided by, where these rows are a part of a
            batch; the weights' own sum if absent.
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
        kept,
        chunk_size,
    )


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
        kept: TopKDistribution,
        chunk_size: int | None,
    ) -> Tensor:
        student = Logits(CatalogScores(hidden, item_weight, logit_bias))
        teacher_share = 1.0 if labels is None else 1 - label_share
        needs_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        gradients = HeadGradients(student) if needs_gradient else None
        loss = row_share.new_zeros(())
        least = torch.finfo(student.sum_dtype).eps ** 4
        for rows in student.chunks(chunk_size, num_arrays=1):
            tiles = student.fill(rows)
            items, log_q, tail_mass = (part[rows] for part in kept)
            log_q, tail_mass = log_q.to(student.sum_dtype), tail_mass.to(student.sum_dtype)[:, None]
            logits = at_items(tiles, student, items)
            label_logit = None if labels is None else at_items(tiles, student, labels[rows, None])
            add_at_items(tiles, student, items, torch.full_like(logits, GONE))
            sums = [row_sums(tile.exp_(), student.sum_dtype) for tile in tiles]
            of_others = torch.cat(sums, dim=1).sum(dim=1, keepdim=True)
            of_kept = logits.exp()
            normalizer = of_kept.sum(dim=1, keepdim=True) + of_others
            log_p, q = logits - normalizer.log(), log_q.exp()
            room = (of_others / normalizer).clamp_min(least)
            of_rest = tail_mass * (tail_mass.clamp_min(least).log() - room.log())
            values = teacher_share * ((q * (log_q - log_p)).sum(dim=1, keepdim=True) + of_rest)
            if label_logit is not None:
                values = values + label_share * (normalizer.log() - label_logit)
            loss = loss + (row_share[rows, None] * values).sum()
            if gradients is None:
                continue
            # what p of an item that was not kept counts
            others = 1 - teacher_share * tail_mass / room
            for tile in tiles:
                tile *= others.to(tile.dtype)
            add_at_items(tiles, student, items, of_kept - teacher_share * q * normalizer)
            if labels is not None:
                add_at_items(tiles, student, labels[rows, None], -label_share * normalizer)
            gradients.add(rows, tiles, row_share[rows, None] / normalizer)
        if gradients is not None:
            ctx.save_for_backward(gradients.hidden, gradients.item_weight)
            ctx.dtypes = hidden.dtype, item_weight.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        hidden, item_weight = scaled_by(ctx.saved_tensors, gradients[0])
        towards = hidden.to(ctx.dtypes[0]), item_weight.to(ctx.dtypes[1])
        return *towards, None, None, None, None, None, None
