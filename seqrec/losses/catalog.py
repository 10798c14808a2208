"""Cross-entropy over the whole catalog, a chunk of rows at a time, and the rows that count."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqrec.losses.bias import LogitBias, Rows
from seqrec.losses.gradients import HeadGradients, scaled_by
from seqrec.losses.softmax import CatalogScores, CatalogSoftmax

IGNORE_INDEX = -100


def catalog_cross_entropy(
    hidden: Float[Tensor, "N D"],
    item_weight: Float[Tensor, "I D"],
    labels: Int[Tensor, "N *K"],
    *,
    label_weight: Float[Tensor, "N *K"] | None = None,
    total_weight: float | None = None,
    logit_bias: LogitBias | None = None,
    all_rows_count: bool = False,
    chunk_size: int | None = None,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Next-item cross-entropy over the whole catalog, without holding all logits.

    Equal, up to float error, to ``F.cross_entropy(hidden @ item_weight.T, labels)``, its rows
    weighted by ``label_weight``. The gradient of each chunk is formed in the forward pass, while
    its logits are at hand: three products in all, and memory for ``chunk_size * I`` logits instead
    of ``N * I``. Under autocast the products have its precision; normalizers and sums are float32.

    Args:
        hidden: decoder outputs, one row per predicted position.
        item_weight: the output embedding of every item.
        labels: the next item, or several possible ones; ``IGNORE_INDEX`` is none, and rows
            of none are dropped before the head.
        label_weight: weight of each label, not negative; all equal if absent.
        total_weight: divisor of the weighted sum, where these rows are a part of a batch; the
            weights' own sum if absent.
        logit_bias: added to the logits of the rows that are not dropped, counted from 0.
        all_rows_count: no row is to be dropped; rows that are would be found by a wait for the GPU.
        chunk_size: rows of ``hidden`` scored at once; chosen by the catalog's size if absent.
        label_smoothing: share of each label that is spread evenly over the catalog, as in
            ``F.cross_entropy``; needs that no logit is biased.

    Returns:
        The weighted mean negative log-likelihood of the labels in nats; 0 if none counts.

    Source: Wijmans et al. 2024, arXiv:2411.09009, for the idea of never holding the logits. We
        chunk rows and form the gradient in the forward pass; no filter, no fused kernel.
    """
    rows, share = counted_rows(labels, label_weight, total_weight, hidden.dtype, all_rows_count)
    counted = _as_matrix(labels[rows].where(share > 0, 0))
    share = _as_matrix(share)
    loss = _CatalogCrossEntropy.apply(
        hidden[rows], item_weight, counted, share, logit_bias, chunk_size
    )
    if label_smoothing:
        assert logit_bias is None
        spread = _label_margin(hidden[rows], item_weight, counted, share)
        loss = loss + label_smoothing * spread
    return loss


def _label_margin(
    hidden: Float[Tensor, "M D"],
    item_weight: Float[Tensor, "I D"],
    labels: Int[Tensor, "M K"],
    share: Float[Tensor, "M K"],
) -> Float[Tensor, ""]:
    """Return the mean difference of a label's logit from the catalog's mean logit.

    It is the difference of the loss of even labels from that of the labels: the normalizers cancel.
    """
    difference = item_weight[labels].to(share.dtype) - item_weight.to(share.dtype).mean(dim=0)
    return (share * (hidden[:, None].to(share.dtype) * difference).sum(dim=2)).sum()


def counted_rows(
    labels: Int[Tensor, "N *K"],
    label_weight: Float[Tensor, "N *K"] | None,
    total_weight: float | None,
    dtype: torch.dtype,
    all_rows_count: bool,
) -> tuple[Rows, Float[Tensor, "M *K"]]:
    """Return the rows that a loss counts, and their labels' share in it, in float32 or better.

    Where all rows count they are not looked for: the host would wait for their number.
    """
    dtype = torch.promote_types(dtype, torch.float32)
    counted = labels != IGNORE_INDEX
    if label_weight is not None:
        counted = counted & (label_weight > 0)
    rows: Rows = slice(None)
    if not all_rows_count:
        rows = _as_matrix(counted).any(dim=1).nonzero().squeeze(1)
    weight = counted[rows].to(dtype)
    if label_weight is not None:
        weight = weight * label_weight[rows].to(dtype)
    return rows, weight / _divisor(weight, total_weight)


def share_of_rows(
    hidden: Float[Tensor, "N D"],
    row_weight: Float[Tensor, " N"] | None,
    total_weight: float | None,
) -> Float[Tensor, " N"]:
    """Return the share of every row in a weighted mean, in float32 or better."""
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    weight = torch.ones(len(hidden), dtype=dtype, device=hidden.device)
    if row_weight is not None:
        weight = row_weight.to(dtype)
    return weight / _divisor(weight, total_weight)


def _divisor(weight: Tensor, total_weight: float | None) -> Tensor | float:
    """Return the divisor of a weighted sum, above 0: a number, or the weights' own sum."""
    tiny = torch.finfo(weight.dtype).tiny
    return weight.sum().clamp_min(tiny) if total_weight is None else max(total_weight, tiny)


def _as_matrix(values: Tensor) -> Tensor:
    """Return one or several values per row as a matrix."""
    return values if values.ndim == 2 else values[:, None]


class _CatalogCrossEntropy(torch.autograd.Function):
    """``-(share * log_prob).sum()``; both gradients are formed in ``forward``."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        item_weight: Tensor,
        labels: Tensor,
        share: Tensor,
        logit_bias: LogitBias | None,
        chunk_size: int | None,
    ) -> Tensor:
        softmax = CatalogSoftmax(CatalogScores(hidden, item_weight, logit_bias))
        needs_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        has_items = ctx.needs_input_grad[1]
        gradients = HeadGradients(softmax, has_items=has_items) if needs_gradient else None
        loss = share.new_zeros(())
        for rows in softmax.chunks(chunk_size, has_item_gradient=has_items):
            chunk = softmax.chunk(rows, labels[rows])
            loss -= (share[rows] * chunk.log_prob).sum()
            if gradients is not None:
                gradients.add_log_prob(chunk, labels[rows], -share[rows])
        if gradients is not None:
            ctx.save_for_backward(gradients.hidden, gradients.item_weight)
            ctx.dtypes = hidden.dtype, item_weight.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        hidden, item_weight = scaled_by(ctx.saved_tensors, gradients[0], ctx.dtypes)
        return hidden, item_weight, None, None, None, None
