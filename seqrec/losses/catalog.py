"""Losses over the whole catalog, a chunk of rows at a time."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORE_INDEX = -100


def catalog_cross_entropy(
    hidden: Float[Tensor, "N D"],
    item_weight: Float[Tensor, "I D"],
    labels: Int[Tensor, " N"],
    *,
    label_weight: Float[Tensor, " N"] | None = None,
    chunk_size: int,
) -> Float[Tensor, ""]:
    """Next-item cross-entropy over the whole catalog, without holding all logits.

    Equal, up to float error, to ``F.cross_entropy(hidden @ item_weight.T, labels)``, its rows
    weighted by ``label_weight``. The gradient of each chunk is taken while its logits are at
    hand, so memory grows with ``chunk_size * I`` and not with ``N * I``.

    Args:
        hidden: decoder outputs, one row per predicted position.
        item_weight: the output embedding of every item.
        labels: the item that comes next; rows of ``IGNORE_INDEX`` are dropped before the head.
        label_weight: how much each row counts, not negative; all alike if absent.
        chunk_size: rows of ``hidden`` scored at once.

    Returns:
        The weighted mean negative log-likelihood in nats; 0 if no row counts.

    Source: Wijmans et al. 2024, arXiv:2411.09009, for the idea of never holding the logits. We
        chunk rows and form the gradient in the forward pass; no filter, no fused kernel.
    """
    counted = labels != IGNORE_INDEX
    if label_weight is not None:
        counted = counted & (label_weight > 0)
    rows = counted.nonzero().squeeze(1)
    if label_weight is None:
        share = hidden.new_full((len(rows),), 1.0 / max(len(rows), 1))
    else:
        share = label_weight[rows].to(hidden.dtype)
        share = share / share.sum().clamp_min(torch.finfo(share.dtype).tiny)
    return _ChunkedCrossEntropy.apply(hidden[rows], item_weight, labels[rows], share, chunk_size)


class _ChunkedCrossEntropy(torch.autograd.Function):
    """``sum(share * nll)``; both gradients are formed in ``forward`` and scaled in ``backward``."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        item_weight: Tensor,
        labels: Tensor,
        share: Tensor,
        chunk_size: int,
    ) -> Tensor:
        needs_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        hidden_gradient = torch.zeros_like(hidden) if needs_gradient else None
        weight_gradient = torch.zeros_like(item_weight) if needs_gradient else None
        loss = hidden.new_zeros(())
        for start in range(0, len(hidden), chunk_size):
            rows = slice(start, start + chunk_size)
            label, weight = labels[rows, None], share[rows, None]
            logits = hidden[rows] @ item_weight.T
            normalizer = logits.logsumexp(dim=1, keepdim=True)
            loss += (weight * (normalizer - logits.gather(1, label))).sum()
            if hidden_gradient is None or weight_gradient is None:
                continue
            slope = logits.sub_(normalizer).exp_().mul_(weight)
            slope.scatter_add_(1, label, -weight)
            torch.mm(slope, item_weight, out=hidden_gradient[rows])
            weight_gradient.addmm_(slope.T, hidden[rows])
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        return hidden_gradient * gradients[0], weight_gradient * gradients[0], None, None, None
