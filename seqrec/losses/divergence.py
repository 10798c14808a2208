"""Divergences between distributions over the catalog, a chunk of rows at a time.

Distillation minimizes them, preference optimization logs them, and the guard of reinforcement
learning limits them. Neither model's logits are ever held for all rows.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqrec.losses.bias import LogitBias
from seqrec.losses.catalog import catalog_cross_entropy, share_of_rows
from seqrec.losses.chunks import row_sums, sum_over_items
from seqrec.losses.gradients import HeadGradients, scaled_by
from seqrec.losses.softmax import CatalogScores, CatalogSoftmax, Tiles
from seqrec.losses.teachers import mean_logits

DivergenceKind = Literal["forward_kl", "reverse_kl", "jensen_shannon"]

NUM_ARRAYS = {"forward_kl": 2, "reverse_kl": 2, "jensen_shannon": 4}
"""Arrays of a chunk's logits: the student's, the mean's, and temporary ones; several teachers need
one more."""


def catalog_divergence(
    student: CatalogScores,
    teachers: Sequence[CatalogScores],
    *,
    kind: DivergenceKind = "forward_kl",
    share: float = 0.5,
    temperature: float = 1.0,
    labels: Int[Tensor, " N"] | None = None,
    label_share: float = 0.0,
    row_weight: Float[Tensor, " N"] | None = None,
    total_weight: float | None = None,
    chunk_size: int | None = None,
) -> Float[Tensor, ""]:
    """The mean divergence of a student's distributions from a teacher's, in nats.

    With ``p`` the student's and ``q`` the mean of the teachers' probabilities, both of logits
    divided by ``temperature``:

    - ``forward_kl``: ``sum(q * log(q / p))``, small where the student covers the teacher;
    - ``reverse_kl``: ``sum(p * log(p / q))``, small where the student stays inside it;
    - ``jensen_shannon``: ``share * KL(q | m) + (1 - share) * KL(p | m)``, where ``m`` is
      ``share * q + (1 - share) * p``.

    It is multiplied by ``temperature ** 2``, which keeps gradients alike. Those of the student
    are formed while a chunk is at hand: as many products as cross-entropy takes, and one for each
    teacher. Teachers get no gradient. Under autocast logits and exponentials have its precision;
    normalizers and sums are float32.

    Args:
        student: the trained model.
        teachers: models of the same rows and catalog, of any width.
        kind: the divergence.
        share: the teacher's share in ``jensen_shannon``.
        temperature: above 1, unlikely items count more.
        labels: the next item of every row.
        label_share: share of the loss that is the labels' cross-entropy, at temperature 1. In
            ``forward_kl`` at temperature 1 it costs nothing, else three products more.
        row_weight: weight of each row, not negative, and above 0 where there are labels; all equal
            if absent.
        total_weight: divisor of the weighted sum, where these rows are a part of a batch; the
            weights' own sum if absent.
        chunk_size: rows scored at once; chosen by the catalog's size if absent.

    Returns:
        The weighted mean; 0 if no row counts.

    Source: Hinton et al. 2015, arXiv:1503.02531, for the temperature; Agarwal et al. 2024,
        arXiv:2306.13649, equations 1 and 4, for the generalised divergence.
    """
    row_share = share_of_rows(student.hidden, row_weight, total_weight)
    if not label_share:
        labels = None
    is_joint = kind == "forward_kl" and temperature == 1
    form = Form(kind, share, temperature, chunk_size)
    scale = temperature**2
    if labels is not None and is_joint:
        form = form._replace(label_share=label_share)
    elif labels is not None:
        scale *= 1 - label_share
    loss, _ = _CatalogDivergence.apply(
        student.hidden,
        student.item_weight,
        row_share * scale,
        labels if is_joint else None,
        student.logit_bias,
        tuple(teachers),
        form,
    )
    if labels is None or is_joint:
        return loss
    return loss + label_share * catalog_cross_entropy(
        student.hidden,
        student.item_weight,
        labels,
        label_weight=row_weight,
        total_weight=total_weight,
        logit_bias=student.logit_bias,
        chunk_size=chunk_size,
    )


@torch.no_grad()
def row_divergences(
    student: CatalogScores,
    teachers: Sequence[CatalogScores],
    *,
    kind: DivergenceKind = "forward_kl",
    share: float = 0.5,
    chunk_size: int | None = None,
) -> Float[Tensor, " N"]:
    """The divergence of every row in nats, as in ``catalog_divergence``, without gradients."""
    form = Form(kind, share, 1.0, chunk_size)
    none = share_of_rows(student.hidden, None, None)
    return _CatalogDivergence.apply(
        student.hidden, student.item_weight, none, None, student.logit_bias, tuple(teachers), form
    )[1]


class Form(NamedTuple):
    """A divergence and how it is computed."""

    kind: DivergenceKind
    share: float
    temperature: float
    chunk_size: int | None
    label_share: float = 0.0


class _Compared(NamedTuple):
    """A chunk of rows of two models."""

    values: Float[Tensor, "C 1"]
    """The divergences."""
    gradients: list[Float[Tensor, "C _"]]
    """Gradients of the student's logits, but for the scale."""
    scale: Float[Tensor, "C 1"]


def _forward_kl(
    student: CatalogSoftmax, ours: Tiles, theirs: Tiles, labels: Tensor | None, form: Form
) -> _Compared:
    """Gradient ``p - q``, up to the student's normalizer: one pass over the exponentials."""
    label_logit = 0.0 if labels is None else student.at_items(ours, labels)
    gaps, our_sums, their_sums = [], [], []
    scratch = torch.empty_like(ours[0])
    for p, q in zip(ours, theirs, strict=True):
        difference = torch.sub(q, p, out=scratch.narrow(1, 0, p.shape[1]))
        their_sums.append(row_sums(q.exp_(), student.sum_dtype))
        our_sums.append(row_sums(p.exp_(), student.sum_dtype))
        gaps.append(row_sums(difference.mul_(q), student.sum_dtype))
    gap, our_sum, their_sum = map(sum_over_items, (gaps, our_sums, their_sums))
    teacher_share = 1 - form.label_share
    values = teacher_share * (gap / their_sum + our_sum.log() - their_sum.log())
    ratio = (teacher_share * our_sum / their_sum).to(student.dtype)
    for p, q in zip(ours, theirs, strict=True):
        p.addcmul_(q, ratio, value=-1)
    if labels is not None:
        values = values + form.label_share * (our_sum.log() - label_logit)
        student.add_at_items(ours, labels, -form.label_share * our_sum)
    return _Compared(values, ours, our_sum.reciprocal())


def _reverse_kl(student: CatalogSoftmax, ours: Tiles, theirs: Tiles) -> _Compared:
    """Gradient ``p * (log p - log q - their mean under p)``."""
    their_sum = student.exponential_sums(theirs)
    gaps, our_sums = [], []
    for p, q in zip(ours, theirs, strict=True):
        torch.sub(p, q, out=q)
        our_sums.append(row_sums(p.exp_(), student.sum_dtype))
        gaps.append(row_sums(q.mul_(p), student.sum_dtype))
    gap, our_sum = map(sum_over_items, (gaps, our_sums))
    mean = gap / our_sum
    for p, q in zip(ours, theirs, strict=True):
        q.addcmul_(p, mean.to(student.dtype), value=-1)
    return _Compared(mean - our_sum.log() + their_sum.log(), theirs, our_sum.reciprocal())


def _jensen_shannon(student: CatalogSoftmax, ours: Tiles, theirs: Tiles, form: Form) -> _Compared:
    """Gradient ``(1 - share) * p * (log p - log m - their mean under p)``."""
    our_log_sum, their_log_sum = (student.exponential_sums(t).log() for t in (ours, theirs))
    log_share = torch.tensor([form.share, 1 - form.share], dtype=student.sum_dtype).log()
    log_share = log_share.to(our_log_sum.device)
    means, values = [], []
    for p, q in zip(ours, theirs, strict=True):
        log_p, log_q = p - our_log_sum, q - their_log_sum
        ratio = log_p - log_q
        over_q = torch.logaddexp(ratio + log_share[1], log_share[0])  # log m - log q
        torch.exp(log_p, out=log_p)
        slope = (ratio - over_q).mul_(1 - form.share).mul_(log_p)
        means.append(slope.sum(dim=1, keepdim=True))
        values.append(means[-1] - form.share * (log_q.exp_() * over_q).sum(dim=1, keepdim=True))
        p.copy_(log_p)
        q.copy_(slope)
    mean, value = map(sum_over_items, (means, values))
    for p, q in zip(ours, theirs, strict=True):
        q.addcmul_(p, mean.to(student.dtype), value=-1)
    return _Compared(value, theirs, torch.ones_like(value))


class _CatalogDivergence(torch.autograd.Function):
    """``(share * divergence).sum()``, and the rows' divergences, which carry no gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        item_weight: Tensor,
        row_share: Tensor,
        labels: Tensor | None,
        logit_bias: LogitBias | None,
        teachers: tuple[CatalogScores, ...],
        form: Form,
    ) -> tuple[Tensor, Tensor]:
        student = CatalogSoftmax(CatalogScores(hidden, item_weight, logit_bias), form.temperature)
        teacher_logits = [CatalogSoftmax(teacher, form.temperature) for teacher in teachers]
        values = row_share.new_zeros(len(hidden))
        needs_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        gradients = (
            HeadGradients(student, has_items=ctx.needs_input_grad[1]) if needs_gradient else None
        )
        num_arrays = NUM_ARRAYS[form.kind] + (len(teachers) > 1)
        for rows in student.chunks(form.chunk_size, num_models=2, num_arrays=num_arrays):
            ours, theirs = student.logits(rows), mean_logits(teacher_logits, rows)
            match form.kind:
                case "forward_kl":
                    row_labels = None if labels is None else labels[rows, None]
                    compared = _forward_kl(student, ours, theirs, row_labels, form)
                case "reverse_kl":
                    compared = _reverse_kl(student, ours, theirs)
                case "jensen_shannon":
                    compared = _jensen_shannon(student, ours, theirs, form)
            values[rows] = compared.values.squeeze(1)
            if gradients is not None:
                scale = compared.scale * row_share[rows, None]
                gradients.add(rows, compared.gradients, scale)
        if gradients is not None:
            ctx.save_for_backward(gradients.hidden, gradients.item_weight)
            ctx.dtypes = hidden.dtype, item_weight.dtype
        ctx.mark_non_differentiable(values)
        return (row_share * values).sum(), values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        hidden, item_weight = scaled_by(ctx.saved_tensors, gradients[0], ctx.dtypes)
        return hidden, item_weight, None, None, None, None, None
