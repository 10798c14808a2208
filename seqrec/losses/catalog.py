"""Losses and log-probabilities over the whole catalog, a chunk of rows at a time.

Both walk the same loop: a chunk's logits, their normalizers, and, where the gradient is known,
the two products that form it. No more than a chunk's logits are ever held.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORE_INDEX = -100

MIN_CHUNK_ROWS = 128
TILE_ITEMS = 2**17
MAX_CHUNK_LOGITS = {"cpu": 2**21}
"""Logits held at once, by device: on a CPU, as many as stay in its caches."""
OTHER_CHUNK_LOGITS = 2**26

SUM_PARTS = 32

SAFE_LOGIT = 60.0
"""Exponentials of logits below it, summed over any catalog, stay finite where the exponent has
the range of float32's."""

MASKED_LOGIT = -1e9
"""The logit of items that may not be chosen: finite, so that 0 times it is 0."""


@dataclass(frozen=True)
class ExcludedItems:
    """A bias under which some items of every row have no probability."""

    items: Int[Tensor, "N S"]
    """Of every row; -1 is none."""
    besides: "LogitBias | None" = None
    """What is added to the logits of all items."""

    def add_to(
        self, logits: Float[Tensor, "C tile"], rows: slice, tile: slice, temperature: float = 1.0
    ) -> None:
        """Change logits in place: where few items are left out, few numbers are touched."""
        add_bias(logits, self.besides, rows, tile, temperature)
        items = self.items[rows]
        row, column = ((items >= tile.start) & (items < tile.stop)).nonzero(as_tuple=True)
        logits[row, items[row, column] - tile.start] = MASKED_LOGIT


LogitBias = Callable[[slice, slice], Float[Tensor, "C tile"]] | ExcludedItems
"""What is added to the logits of a range of rows and one of items; no gradient flows into it."""


def add_bias(
    logits: Float[Tensor, "C tile"],
    bias: LogitBias | None,
    rows: slice,
    tile: slice,
    temperature: float = 1.0,
) -> None:
    """Add a bias, over a temperature, to the logits of a range of rows and one of items."""
    if isinstance(bias, ExcludedItems):
        bias.add_to(logits, rows, tile, temperature)
    elif bias is not None:
        dense = bias(rows, tile)
        logits += (dense if temperature == 1 else dense / temperature).to(logits.dtype)


def catalog_cross_entropy(
    hidden: Float[Tensor, "N D"],
    item_weight: Float[Tensor, "I D"],
    labels: Int[Tensor, "N *K"],
    *,
    label_weight: Float[Tensor, "N *K"] | None = None,
    total_weight: float | None = None,
    logit_bias: LogitBias | None = None,
    chunk_size: int | None = None,
) -> Float[Tensor, ""]:
    """Next-item cross-entropy over the whole catalog, without holding all logits.

    Equal, up to float error, to ``F.cross_entropy(hidden @ item_weight.T, labels)``, its rows
    weighted by ``label_weight``. The gradient of each chunk is taken while its logits are at
    hand: three products in all, and memory for ``chunk_size * I`` logits instead of ``N * I``.
    Under autocast the products have its precision; normalizers and sums are float32.

    Args:
        hidden: decoder outputs, one row per predicted position.
        item_weight: the output embedding of every item.
        labels: the item that comes next, or several that may; ``IGNORE_INDEX`` is none, and rows
            of none are dropped before the head.
        label_weight: how much each label counts, not negative; all alike if absent.
        total_weight: what the weighted sum is divided by, where these rows are a part of a
            batch; the weights' own sum if absent.
        logit_bias: added to the logits of the rows that are not dropped, counted from 0.
        chunk_size: rows of ``hidden`` scored at once; chosen by the catalog's size if absent.

    Returns:
        The weighted mean negative log-likelihood of the labels in nats; 0 if none counts.

    Source: Wijmans et al. 2024, arXiv:2411.09009, for the idea of never holding the logits. We
        chunk rows and form the gradient in the forward pass; no filter, no fused kernel.
    """
    rows, share = counted_rows(labels, label_weight, total_weight, hidden.dtype)
    counted = _several(labels[rows].where(share > 0, 0))
    return _CatalogCrossEntropy.apply(
        hidden[rows], item_weight, counted, _several(share), logit_bias, chunk_size
    )


def catalog_log_prob(
    hidden: Float[Tensor, "N D"],
    item_weight: Float[Tensor, "I D"],
    items: Int[Tensor, "N *K"],
    *,
    logit_bias: LogitBias | None = None,
    chunk_size: int | None = None,
) -> Float[Tensor, "N *K"]:
    """The log-probability of an item, or of several, a row under the whole catalog, in nats.

    Equal, up to float error, to ``(hidden @ item_weight.T).log_softmax(-1)`` at ``items``. What
    its gradient is multiplied by is unknown until the backward pass, which therefore scores each
    chunk a second time unless all is one small chunk: four products, or three, and memory for
    ``chunk_size * I`` logits.

    Args:
        hidden: decoder outputs.
        item_weight: the output embedding of every item.
        items: those asked for. Several of one row cost little more than one.
        logit_bias: added to the logits.
        chunk_size: rows of ``hidden`` scored at once; chosen by the catalog's size if absent.
    """
    found = _CatalogLogProb.apply(hidden, item_weight, _several(items), logit_bias, chunk_size)
    return found.view(items.shape)


def counted_rows(
    labels: Int[Tensor, "N *K"],
    label_weight: Float[Tensor, "N *K"] | None,
    total_weight: float | None,
    dtype: torch.dtype,
) -> tuple[Int[Tensor, " M"], Float[Tensor, "M *K"]]:
    """The rows that a loss counts, and the share of their labels in it, in float32 or better."""
    dtype = torch.promote_types(dtype, torch.float32)
    counted = labels != IGNORE_INDEX
    if label_weight is not None:
        counted = counted & (label_weight > 0)
    rows = _several(counted).any(dim=1).nonzero().squeeze(1)
    weight = counted[rows].to(dtype)
    if label_weight is not None:
        weight = weight * label_weight[rows].to(dtype)
    total = weight.sum() if total_weight is None else weight.new_tensor(total_weight)
    return rows, weight / total.clamp_min(torch.finfo(weight.dtype).tiny)


def _several(of_rows: Tensor) -> Tensor:
    """As a matrix: one of a row is several, too."""
    return of_rows if of_rows.ndim == 2 else of_rows[:, None]


def most_logits(device: torch.device) -> int:
    """Of a chunk, unless that were too few rows."""
    return MAX_CHUNK_LOGITS.get(device.type, OTHER_CHUNK_LOGITS)


def chunk_rows(num_rows: int, num_items: int, device: torch.device) -> int:
    """Rows scored at once against a catalog: as many as fit, but enough for a matrix product.

    Chunks are of like size: each walks the whole catalog, however few its rows are.
    """
    most = max(most_logits(device) // max(num_items, 1), MIN_CHUNK_ROWS)
    num_chunks = max(-(-num_rows // most), 1)
    return max(-(-num_rows // num_chunks), 1)


class _Chunk(NamedTuple):
    """Some rows scored against the whole catalog."""

    rows: slice
    exponentials: list[Float[Tensor, "C tile"]]
    """``exp(logit - shift)`` by tile of the catalog, in the precision of the products."""
    normalizer: Float[Tensor, "C 1"]
    """Sum of the exponentials: they divided by it are the probabilities."""
    log_prob: Float[Tensor, "C K"]
    """Of the rows' labels."""


class _Products:
    """Hidden states against the catalog: chunks of the softmax, and the gradients they give.

    The catalog is walked in tiles, so that what products need beside their result stays small.
    """

    def __init__(
        self,
        hidden: Tensor,
        item_weight: Tensor,
        labels: Tensor,
        logit_bias: LogitBias | None,
        chunk_size: int | None,
    ) -> None:
        num_items = len(item_weight)
        self.labels = labels
        self.logit_bias = logit_bias
        self.chunk_size = chunk_size or chunk_rows(len(hidden), num_items, hidden.device)
        self.dtype = hidden.dtype
        if torch.is_autocast_enabled(hidden.device.type):
            self.dtype = torch.get_autocast_dtype(hidden.device.type)
        self.sum_dtype = torch.promote_types(self.dtype, torch.float32)
        self.largest_logit = largest_norm(hidden) * largest_norm(item_weight)
        self.hidden = hidden.to(self.dtype)
        self.item_weight = item_weight.to(self.dtype)
        starts = range(0, num_items, TILE_ITEMS)
        self.tiles = [slice(start, min(start + TILE_ITEMS, num_items)) for start in starts]

    def chunks(self) -> Iterator[_Chunk]:
        """All rows, a chunk at a time; a chunk's exponentials live until the next one.

        A softmax is the same whatever is subtracted from its logits. The row's maximum, which
        keeps exponentials finite, costs two passes over the chunk; where no logit can be large
        (Cauchy-Schwarz), nothing is subtracted.
        """
        has_range = torch.finfo(self.dtype).max >= torch.finfo(torch.bfloat16).max
        is_safe = self.logit_bias is None and has_range and bool(self.largest_logit < SAFE_LOGIT)
        num_rows = min(self.chunk_size, len(self.hidden))
        buffers = [self.hidden.new_empty(num_rows, t.stop - t.start) for t in self.tiles]
        for start in range(0, len(self.hidden), self.chunk_size):
            rows = slice(start, start + self.chunk_size)
            part, labels = self.hidden[rows], self.labels[rows]
            if self.logit_bias is None:
                of_labels = part[:, None].to(self.sum_dtype) * self.item_weight[labels]
                label_logit = of_labels.sum(dim=2).to(self.dtype)  # rounded as the products are
            else:
                label_logit = part.new_empty(labels.shape)
            scores = [buffer[: len(part)] for buffer in buffers]
            for tile, out in zip(self.tiles, scores, strict=True):
                torch.mm(part, self.item_weight[tile].T, out=out)
                if self.logit_bias is not None:
                    add_bias(out, self.logit_bias, rows, tile)
                    is_here = (labels >= tile.start) & (labels < tile.stop)
                    column = (labels - tile.start).where(is_here, 0)
                    label_logit = out.gather(1, column).where(is_here, label_logit)
            if not is_safe:
                shift = torch.cat([s.amax(dim=1, keepdim=True) for s in scores], dim=1)
                shift = shift.amax(dim=1, keepdim=True)
                label_logit -= shift
                scores = [s.sub_(shift) for s in scores]
            exponentials = [s.exp_() for s in scores]
            sums = torch.cat([row_sums(e, self.sum_dtype) for e in exponentials], dim=1)
            normalizer = sums.sum(dim=1, keepdim=True)
            yield _Chunk(rows, exponentials, normalizer, label_logit - normalizer.log())

    def start_gradients(self) -> None:
        """Room for the gradients, of which ``add_gradients`` adds a chunk's part."""
        self.hidden_gradient = torch.zeros_like(self.hidden, dtype=self.sum_dtype)
        self.weight_gradient = torch.zeros_like(self.item_weight, dtype=self.sum_dtype)
        self.tile_gradient = torch.empty_like(self.item_weight[:TILE_ITEMS])

    def add_gradients(self, chunk: _Chunk, upstream: Float[Tensor, "C K"]) -> None:
        """The gradients of ``-(upstream * log_prob).sum()`` over the chunk's rows.

        Those are ``upstream * (probabilities - one_hot(label))`` times the weights and the hidden
        states. The probabilities are never formed: their normalizers scale the smaller factors.
        """
        labels, hidden = self.labels[chunk.rows], self.hidden[chunk.rows].to(self.sum_dtype)
        scale = upstream.sum(dim=1, keepdim=True) / chunk.normalizer
        scaled = (hidden * scale).to(self.dtype)
        towards_all = self.hidden_gradient[chunk.rows]
        for tile, exponentials in zip(self.tiles, chunk.exponentials, strict=True):
            towards_all += torch.mm(exponentials, self.item_weight[tile])
            into = self.weight_gradient[tile]
            if self.dtype == self.sum_dtype:
                into.addmm_(exponentials.T, scaled)
            else:
                into += torch.mm(exponentials.T, scaled, out=self.tile_gradient[: len(into)])
        upstream = upstream[:, :, None]
        towards_all.mul_(scale).sub_((self.item_weight[labels] * upstream).sum(dim=1))
        from_labels = (hidden[:, None] * -upstream).flatten(0, 1)
        self.weight_gradient.index_add_(0, labels.flatten(), from_labels)


def largest_norm(rows: Float[Tensor, "N D"]) -> Float[Tensor, ""]:
    if not len(rows):
        return rows.new_zeros(())
    return torch.linalg.vector_norm(rows, dim=1).amax()


def row_sums(values: Float[Tensor, "C I"], dtype: torch.dtype) -> Float[Tensor, "C 1"]:
    """Sums of rows in ``dtype``, without a copy of all values in it.

    In a lower precision parts of a row are summed first, each rounded once; roundings average out.
    """
    if values.dtype == dtype:
        return values.sum(dim=1, keepdim=True)
    part = values.shape[1] // SUM_PARTS
    whole = values[:, : part * SUM_PARTS].unflatten(1, (SUM_PARTS, part)).sum(dim=-1)
    rest = values[:, part * SUM_PARTS :]
    return torch.cat([whole, rest], dim=1).sum(dim=1, keepdim=True, dtype=dtype)


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
        products = _Products(hidden, item_weight, labels, logit_bias, chunk_size)
        needs_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        if needs_gradient:
            products.start_gradients()
        loss = share.new_zeros(())
        for chunk in products.chunks():
            loss -= (share[chunk.rows] * chunk.log_prob).sum()
            if needs_gradient:
                products.add_gradients(chunk, share[chunk.rows])
        if needs_gradient:
            ctx.save_for_backward(products.hidden_gradient, products.weight_gradient)
            ctx.dtypes = hidden.dtype, item_weight.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        hidden, item_weight = scaled_by(ctx.saved_tensors, gradients[0])
        return hidden.to(ctx.dtypes[0]), item_weight.to(ctx.dtypes[1]), None, None, None, None


def scaled_by(tensors: tuple[Tensor, ...], factor: Tensor) -> tuple[Tensor, ...]:
    """The tensors times a factor, without a copy where it is 1, as it is at the end of a graph."""
    return tensors if factor == 1 else tuple(tensor * factor for tensor in tensors)


class _CatalogLogProb(torch.autograd.Function):
    """``log_prob`` of every label; in ``backward`` chunks are scored again, but for a small one."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        item_weight: Tensor,
        items: Tensor,
        logit_bias: LogitBias | None,
        chunk_size: int | None,
    ) -> Tensor:
        products = _Products(hidden, item_weight, items, logit_bias, chunk_size)
        ctx.save_for_backward(hidden, item_weight, items)
        ctx.logit_bias, ctx.chunk_size = logit_bias, chunk_size
        ctx.autocast_dtype = products.dtype if products.dtype != hidden.dtype else None
        ctx.held = None
        parts = []
        for chunk in products.chunks():
            parts.append(chunk.log_prob)
            is_small = len(hidden) * len(item_weight) <= most_logits(hidden.device)
            if is_small and len(chunk.log_prob) == len(hidden):
                ctx.held = products, chunk
        return torch.cat([hidden.new_empty(0, items.shape[1], dtype=products.sum_dtype), *parts])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        hidden, item_weight, items = ctx.saved_tensors
        if ctx.held is None:
            is_low = ctx.autocast_dtype is not None
            with torch.autocast(hidden.device.type, ctx.autocast_dtype, is_low):
                products = _Products(hidden, item_weight, items, ctx.logit_bias, ctx.chunk_size)
            chunks = products.chunks()
        else:
            products, chunk = ctx.held
            chunks = iter([chunk])
        products.start_gradients()
        for chunk in chunks:
            products.add_gradients(chunk, -gradients[0][chunk.rows])
        return (
            products.hidden_gradient.to(hidden.dtype),
            products.weight_gradient.to(item_weight.dtype),
            None,
            None,
            None,
        )
