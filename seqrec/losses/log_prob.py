"""Log-probabilities of items under the whole catalog, a chunk of rows at a time.

The upstream gradient of each value is unknown until the backward pass, which scores the chunks
again unless all rows were one small chunk.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqrec.losses.bias import LogitBias
from seqrec.losses.chunks import most_logits
from seqrec.losses.gradients import HeadGradients
from seqrec.losses.softmax import CatalogScores, CatalogSoftmax, Chunk, Separated

Scored = TypeVar("Scored")


def catalog_log_prob(
    hidden: Float[Tensor, "N D"],
    item_weight: Float[Tensor, "I D"],
    items: Int[Tensor, "N *K"],
    *,
    logit_bias: LogitBias | None = None,
    chunk_size: int | None = None,
) -> Float[Tensor, "N *K"]:
    """The log-probability of an item, or of several, per row under the whole catalog, in nats.

    Equal, up to float error, to ``(hidden @ item_weight.T).log_softmax(-1)`` at ``items``. The
    upstream gradient is unknown until the backward pass, which therefore scores each chunk a
    second time unless all rows are one small chunk: four products, or three, and memory for
    ``chunk_size * I`` logits.

    Args:
        hidden: decoder outputs.
        item_weight: the output embedding of every item.
        items: items of every row. Several items of one row cost little more than one.
        logit_bias: added to the logits.
        chunk_size: rows of ``hidden`` scored at once; chosen by the catalog's size if absent.
    """
    log_prob = _CatalogLogProb.apply(
        hidden, item_weight, items if items.ndim == 2 else items[:, None], logit_bias, chunk_size
    )
    return log_prob.view(items.shape)


def separated_logits(
    scores: CatalogScores, items: Int[Tensor, "N L"], *, chunk_size: int | None = None
) -> tuple[Float[Tensor, "N L"], Float[Tensor, " N"]]:
    """Return the logits of some items of every row, and the log of the others' mass.

    The mass is the sum of the exponentials of all other items' logits, summed without the items
    themselves: it keeps its precision where one of them is nearly certain. Costs, memory and
    gradients are those of ``catalog_log_prob``.
    """
    logits, log_mass = _SeparatedLogits.apply(
        scores.hidden, scores.item_weight, items, scores.logit_bias, chunk_size
    )
    return logits, log_mass.squeeze(1)


class _CatalogLogProb(torch.autograd.Function):
    """The log-probability of every item of each row."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        item_weight: Tensor,
        items: Tensor,
        logit_bias: LogitBias | None,
        chunk_size: int | None,
    ) -> Tensor:
        softmax = _start(ctx, hidden, item_weight, items, logit_bias, chunk_size)
        parts = [chunk.log_prob for _, chunk in _scored(ctx, softmax, items, _labelled)]
        return torch.cat([hidden.new_empty(0, items.shape[1], dtype=softmax.sum_dtype), *parts])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor | None, ...]:
        softmax, items = _again(ctx), ctx.saved_tensors[2]
        gradients = HeadGradients(softmax, has_items=ctx.needs_input_grad[1])
        for rows, chunk in _scored(ctx, softmax, items, _labelled):
            gradients.add_log_prob(chunk, items[rows], upstream[0][rows])
        return _towards_inputs(ctx, gradients)


class _SeparatedLogits(torch.autograd.Function):
    """Logits of items of each row, and the log of the others' mass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        item_weight: Tensor,
        items: Tensor,
        logit_bias: LogitBias | None,
        chunk_size: int | None,
    ) -> tuple[Tensor, Tensor]:
        softmax = _start(ctx, hidden, item_weight, items, logit_bias, chunk_size)
        logits = [hidden.new_empty(0, items.shape[1], dtype=softmax.sum_dtype)]
        masses = [hidden.new_empty(0, 1, dtype=softmax.sum_dtype)]
        for _, chunk in _scored(ctx, softmax, items, _separated):
            logits.append(chunk.logits)
            masses.append(chunk.log_mass)
        return torch.cat(logits), torch.cat(masses)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Any) -> tuple[Tensor | None, ...]:
        softmax, items = _again(ctx), ctx.saved_tensors[2]
        gradients = HeadGradients(softmax, has_items=ctx.needs_input_grad[1])
        for rows, chunk in _scored(ctx, softmax, items, _separated):
            gradients.add(rows, chunk.exponentials, upstream[1][rows] / chunk.normalizer)
            gradients.add_at_items(rows, items[rows], upstream[0][rows])
        return _towards_inputs(ctx, gradients)


def _labelled(softmax: CatalogSoftmax, rows: slice, items: Tensor) -> Chunk:
    return softmax.chunk(rows, items)


def _separated(softmax: CatalogSoftmax, rows: slice, items: Tensor) -> Separated:
    return softmax.separate(softmax.raw_logits(rows), items)


def _start(
    ctx: Any,
    hidden: Tensor,
    item_weight: Tensor,
    items: Tensor,
    logit_bias: LogitBias | None,
    chunk_size: int | None,
) -> CatalogSoftmax:
    """Save what the backward pass needs to score the rows again; return the softmax."""
    softmax = CatalogSoftmax(CatalogScores(hidden, item_weight, logit_bias))
    ctx.save_for_backward(hidden, item_weight, items)
    ctx.logit_bias, ctx.chunk_size = logit_bias, chunk_size
    ctx.autocast_dtype = softmax.dtype if softmax.dtype != hidden.dtype else None
    ctx.held = None
    return softmax


def _again(ctx: Any) -> CatalogSoftmax:
    """Return the softmax of the forward pass, built anew unless its chunk was kept."""
    if ctx.held is not None:
        return ctx.held[0]
    hidden, item_weight, _ = ctx.saved_tensors
    is_low = ctx.autocast_dtype is not None
    with torch.autocast(hidden.device.type, ctx.autocast_dtype, is_low):
        return CatalogSoftmax(CatalogScores(hidden, item_weight, ctx.logit_bias))


def _scored(
    ctx: Any,
    softmax: CatalogSoftmax,
    items: Tensor,
    score: Callable[[CatalogSoftmax, slice, Tensor], Scored],
) -> Iterator[tuple[slice, Scored]]:
    """Yield ranges of rows and their chunks; a single small one is kept for the next time."""
    num_rows = len(softmax.hidden)
    if ctx.held is not None:
        yield slice(0, num_rows), ctx.held[1]
        return
    is_small = num_rows * len(softmax.item_weight) <= most_logits(softmax.hidden.device)
    for rows in softmax.chunks(ctx.chunk_size):
        chunk = score(softmax, rows, items[rows])
        if is_small and rows == slice(0, num_rows):
            ctx.held = softmax, chunk
        yield rows, chunk


def _towards_inputs(ctx: Any, gradients: HeadGradients) -> tuple[Tensor | None, ...]:
    """Return the gradients of the inputs, in their precision."""
    hidden, item_weight, _ = ctx.saved_tensors
    rows = gradients.item_weight
    towards = None if rows is None else rows.to(item_weight.dtype)
    return gradients.hidden.to(hidden.dtype), towards, None, None, None
