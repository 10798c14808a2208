"""Losses over the label and sampled negatives, which all positions of a step share.

One product scores the negatives; chunks of rows compute their gradients in the forward pass.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqrec.losses.catalog import counted_rows
from seqrec.losses.chunks import chunk_rows
from seqrec.losses.negatives import LabelHits, Negatives


def sampled_softmax(
    hidden: Float[Tensor, "N D"],
    positive: Float[Tensor, "N D"],
    negative: Float[Tensor, "S D"],
    labels: Int[Tensor, " N"],
    negatives: Negatives,
    *,
    log_q: bool,
    label_weight: Float[Tensor, " N"] | None = None,
    total_weight: float | None = None,
    all_rows_count: bool = False,
) -> Float[Tensor, ""]:
    """Cross-entropy of the label against itself and the negatives.

    Equal to the mean of ``-log(exp(p) / (exp(p) + sum_j exp(s_j - log_count_j)))``, where ``p``
    and ``s_j`` are the scores of label and negatives, and ``log_count_j`` is 0 without ``log_q``.
    A negative that equals the row's label is excluded from the row. With ``log_q`` the sum is
    an unbiased estimate of the same sum over all other items of the catalog, if each of them can be
    drawn and the expected counts are correct; the loss, a logarithm, is biased downwards. Under
    autocast the products with the negatives have its precision; all else is float32.

    Args:
        hidden: decoder outputs, one row per predicted position.
        positive: the output embedding of each row's label; arbitrary for ignored labels.
        negative: the output embeddings of ``negatives.items``.
        labels: the next item; rows of ``IGNORE_INDEX`` are dropped.
        negatives: the sampled items.
        log_q: weight negatives by the inverse of their expected counts.
        label_weight: weight of each row, not negative; all equal if absent.
        total_weight: divisor of the weighted sum, if these rows are a part of a batch; the weights'
            own sum if absent.
        all_rows_count: no row is to be dropped; rows that are would be found by a wait for the GPU.

    Returns:
        The weighted mean loss in nats; 0 if no row counts.

    Source: Bengio and Senecal 2008, "Adaptive importance sampling to accelerate training of a
        neural probabilistic language model"; Jean et al. 2015, arXiv:1412.2007, section 3. The
        label is not sampled and hence not corrected: see Khrylchenko et al. 2025,
        arXiv:2507.09331. Negatives are drawn at every step and shared by its rows.
    """
    log_count = negatives.log_count
    importance = torch.exp(-log_count) if log_q else torch.ones_like(log_count)
    vectors, weights = (hidden, positive, negative), (label_weight, total_weight, all_rows_count)
    return _sampled_loss(*vectors, labels, negatives.items, importance, *weights, _softmax_terms)


def binary_cross_entropy(
    hidden: Float[Tensor, "N D"],
    positive: Float[Tensor, "N D"],
    negative: Float[Tensor, "S D"],
    labels: Int[Tensor, " N"],
    negatives: Negatives,
    *,
    label_weight: Float[Tensor, " N"] | None = None,
    total_weight: float | None = None,
    all_rows_count: bool = False,
) -> Float[Tensor, ""]:
    """Binary cross-entropy of the label as positive and every negative as negative.

    Equal to the mean of ``-(log sigmoid(p) + sum_j log(1 - sigmoid(s_j))) / (S + 1)``. A negative
    that equals the row's label is excluded from the sum, not from ``S``. Expected counts are not
    used. Arguments, and the value if no row counts, are those of ``sampled_softmax``.

    Source: Kang and McAuley 2018, arXiv:1808.09781, with one negative; the mean over several is
        that of Petrov and Macdonald 2023, arXiv:2308.07192. They draw negatives for each position;
        ours are shared.
    """
    importance = torch.ones_like(negatives.log_count)
    vectors, weights = (hidden, positive, negative), (label_weight, total_weight, all_rows_count)
    compute_terms = partial(_binary_terms, beta=1.0)
    return _sampled_loss(*vectors, labels, negatives.items, importance, *weights, compute_terms)


def gbce(
    hidden: Float[Tensor, "N D"],
    positive: Float[Tensor, "N D"],
    negative: Float[Tensor, "S D"],
    labels: Int[Tensor, " N"],
    negatives: Negatives,
    *,
    num_items: int,
    t: float,
    label_weight: Float[Tensor, " N"] | None = None,
    total_weight: float | None = None,
    all_rows_count: bool = False,
) -> Float[Tensor, ""]:
    """Binary cross-entropy in which the label's ``sigmoid(p)`` is raised to the power ``beta``.

    Equal to the mean of ``-(log(sigmoid(p) ** beta) + sum_j log(1 - sigmoid(s_j))) / (S + 1)``,
    where ``beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)`` and ``alpha = S / (num_items - 1)``.
    Further arguments, and the value if no row counts, are those of ``sampled_softmax``.

    Args:
        num_items: size of the catalog; without other items than the label, ``beta`` is 1.
        t: calibration, from 0 (``binary_cross_entropy``) to 1, at which sigmoids of scores are
            probabilities of items if negatives are uniform.

    Source: Petrov and Macdonald 2023, arXiv:2308.07192, the gBCE loss and its calibration
        parameter ``t``. They draw negatives for each position, from the other items; ours are
        shared, and those that equal the row's label are excluded, which makes the odds at ``t=1``
        too high by one part in ``num_items``.
    """
    alpha = len(negative) / (num_items - 1) if num_items > 1 else 1.0
    beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)
    importance = torch.ones_like(negatives.log_count)
    vectors, weights = (hidden, positive, negative), (label_weight, total_weight, all_rows_count)
    compute_terms = partial(_binary_terms, beta=beta)
    return _sampled_loss(*vectors, labels, negatives.items, importance, *weights, compute_terms)


class _Terms(NamedTuple):
    """Losses of some rows, and their derivatives by the scores."""

    loss: Float[Tensor, " C"]
    positive_slope: Float[Tensor, " C"]
    """Derivative by the label's score."""
    negative_slope: Float[Tensor, "C S"]
    """Derivative by the negatives' scores, without the row's ``scale`` and the negative's
    importance; it overwrites the scores."""
    scale: Float[Tensor, " C"]


_ComputeTerms = Callable[[Tensor, Tensor, Tensor], _Terms]
"""Returns the terms, from the scores of negatives and label and the negatives' importance."""


def _softmax_terms(
    scores: Float[Tensor, "C S"],
    positive_score: Float[Tensor, " C"],
    importance: Float[Tensor, " S"],
) -> _Terms:
    """``-log(exp(p) / (exp(p) + sum_j importance_j * exp(s_j)))``."""
    shift = torch.maximum(scores.amax(dim=1), positive_score)
    positive_score = positive_score - shift
    exponentials = scores.sub_(shift[:, None]).exp_()
    negative_sum = torch.mv(exponentials, importance)
    scale = 1 / (positive_score.exp() + negative_sum)
    return _Terms(-scale.log() - positive_score, -negative_sum * scale, exponentials, scale)


def _binary_terms(
    scores: Float[Tensor, "C S"],
    positive_score: Float[Tensor, " C"],
    importance: Float[Tensor, " S"],
    *,
    beta: float,
) -> _Terms:
    """``-(beta * log sigmoid(p) + sum_j importance_j * log(1 - sigmoid(s_j))) / (S + 1)``."""
    scale = 1 / (scores.shape[1] + 1)
    negative_sum = torch.mv(F.softplus(scores), importance)
    loss = (beta * F.softplus(-positive_score) + negative_sum) * scale
    positive_slope = torch.sigmoid(-positive_score) * (-beta * scale)
    return _Terms(loss, positive_slope, scores.sigmoid_(), torch.full_like(loss, scale))


def _sampled_loss(
    hidden: Tensor,
    positive: Tensor,
    negative: Tensor,
    labels: Tensor,
    items: Tensor,
    importance: Tensor,
    label_weight: Tensor | None,
    total_weight: float | None,
    all_rows_count: bool,
    compute_terms: _ComputeTerms,
) -> Tensor:
    """Return the weighted sum of a loss over the rows that count."""
    rows, share = counted_rows(labels, label_weight, total_weight, hidden.dtype, all_rows_count)
    if len(share) < len(labels):
        hidden, positive, labels = (tensor[rows] for tensor in (hidden, positive, labels))
    return _SampledLoss.apply(
        hidden, positive, negative, labels, items, importance, share, compute_terms
    )


class _SampledLoss(torch.autograd.Function):
    """``(share * terms).sum()``; all gradients are formed in ``forward``."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        positive: Tensor,
        negative: Tensor,
        labels: Tensor,
        items: Tensor,
        importance: Tensor,
        share: Tensor,
        compute_terms: _ComputeTerms,
    ) -> Tensor:
        device = hidden.device.type
        dtype = hidden.dtype
        if torch.is_autocast_enabled(device) and dtype != torch.float64:
            dtype = torch.get_autocast_dtype(device)
        needs_gradient = any(ctx.needs_input_grad[:3])
        inputs = hidden, positive, negative
        with torch.autocast(device, enabled=False):  # it would lower the precision of sums on a GPU
            loss, gradients = _loss_and_gradients(
                *inputs,
                LabelHits(labels, items),
                importance,
                share,
                compute_terms,
                dtype,
                needs_gradient,
            )
        if needs_gradient:
            ctx.save_for_backward(*gradients)
            ctx.dtypes = [tensor.dtype for tensor in inputs]
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        pairs = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        inputs = [(tensor * gradients[0]).to(dtype) for tensor, dtype in pairs]
        return (*inputs, None, None, None, None, None)


def _loss_and_gradients(
    hidden: Float[Tensor, "N D"],
    positive: Float[Tensor, "N D"],
    negative: Float[Tensor, "S D"],
    hits: LabelHits,
    importance: Float[Tensor, " S"],
    share: Float[Tensor, " N"],
    compute_terms: _ComputeTerms,
    dtype: torch.dtype,
    needs_gradient: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the loss and its gradients by the first three tensors; products in ``dtype``."""
    sum_dtype = torch.promote_types(dtype, torch.float32)
    importance = importance.to(sum_dtype)
    product_hidden, product_negative = hidden.to(dtype), negative.to(dtype)
    weighted_negative = (negative * importance[:, None]).to(dtype)
    hidden, positive = hidden.to(sum_dtype), positive.to(sum_dtype)
    positive_score = (hidden * positive).sum(dim=1)
    loss = share.new_zeros(())
    hidden_gradient, positive_gradient = torch.empty_like(hidden), torch.empty_like(positive)
    negative_gradient = torch.zeros_like(negative, dtype=sum_dtype)
    chunk_size = chunk_rows(len(hidden), len(negative), hidden.device)
    buffer = product_hidden.new_empty(min(chunk_size, len(hidden)), len(negative))
    for start in range(0, len(hidden), chunk_size):
        rows = slice(start, start + chunk_size)
        part = product_hidden[rows]
        scores = torch.mm(part, product_negative.T, out=buffer[: len(part)]).to(sum_dtype)
        hits.exclude_from(scores, rows)
        terms = compute_terms(scores, positive_score[rows], importance)
        loss += torch.dot(share[rows], terms.loss)
        if not needs_gradient:
            continue
        slope = terms.negative_slope.to(dtype)
        positive_slope = (share[rows] * terms.positive_slope)[:, None]
        scale = (share[rows] * terms.scale)[:, None]
        towards_negatives = torch.mm(slope, weighted_negative) * scale
        torch.addcmul(towards_negatives, positive[rows], positive_slope, out=hidden_gradient[rows])
        torch.mul(hidden[rows], positive_slope, out=positive_gradient[rows])
        negative_gradient += torch.mm(slope.T, (hidden[rows] * scale).to(dtype))
    negative_gradient *= importance[:, None]
    return loss, (hidden_gradient, positive_gradient, negative_gradient)
