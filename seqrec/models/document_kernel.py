"""The attention of ``models/document_attention.py``: documents of similar lengths in few calls.

A document reads itself causally and, by option, all of an earlier one. Only scores within
documents are computed.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from seqrec.models.native.attention import attend, causal_mask, prefers_whole

IMPLEMENTATION = "seqrec_documents"
"""Name of the attention among those of transformers."""
STEPS_PER_OCTAVE = 4
"""Documents are padded to one of this number of lengths between two powers of two."""
CAPPED_QUERIES = 256
"""Queries whose logits are held at once, if the logits are capped."""

Segments = Sequence[tuple[int, int, int, int]]
"""Start and end of each document of a row, and of an earlier one that it reads; both 0, or equal,
for a document that reads itself alone. Together they cover the row."""


def document_attention(
    module: nn.Module,
    query: Float[Tensor, "B H T D"],
    key: Float[Tensor, "B G T D"],
    value: Float[Tensor, "B G T D"],
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    cu_seq_lens_q: Int[Tensor, " S+1"] | None = None,
    segments: Segments | None = None,
    **others: Any,
) -> tuple[Float[Tensor, "B T H D"], None]:
    """Return causal attention within each document; without boundaries, transformers' SDPA.

    Args:
        module: the layer's attention.
        query: one row.
        key: one row; a key serves several queries if there are fewer of them.
        value: as keys.
        attention_mask: used without boundaries only.
        dropout: share of attention weights dropped.
        scaling: factor of the logits.
        sliding_window: number of last keys, its own included, that a query attends to.
        softcap: bound of the logits, approached by a hyperbolic tangent.
        cu_seq_lens_q: first position of every document, and the end.
        segments: the documents, in place of ``cu_seq_lens_q``.
        others: arguments of other implementations.

    Raises:
        ValueError: attention with sinks or a position bias, which have no such form.
    """
    if cu_seq_lens_q is None and segments is None:
        more = {"softcap": softcap, **others}
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **more
        )  # type: ignore[return-value]
    for name in ("s_aux", "position_bias"):
        if others.get(name) is not None:
            raise ValueError(f"{name}: attention within documents has none")
    if segments is None:
        bounds = cu_seq_lens_q.tolist()  # type: ignore[union-attr]
        segments = [(start, end, 0, 0) for start, end in pairwise(bounds)]
    groups = query.shape[1] // key.shape[1]
    settings = _Settings(groups, dropout, scaling, sliding_window, softcap)
    if len(segments) == 1:
        return _attend(query, key, value, settings).transpose(1, 2), None
    parts = [part[0].transpose(0, 1) for part in (query, key, value)]
    plan = _plan(tuple(segments), query.device)
    outputs = []
    for bucket in plan.buckets:
        own, reads = bucket.positions, bucket.keys
        rows = [_take(part, at) for part, at in zip(parts, (own, reads, reads), strict=True)]
        output = _attend(rows[0], rows[1], rows[2], settings).transpose(1, 2)
        outputs.append(output.flatten(0, 1).index_select(0, bucket.is_token))
    return torch.cat(outputs).index_select(0, plan.order)[None], None


def _take(part: Float[Tensor, "N H D"], at: Int[Tensor, "n L"]) -> Float[Tensor, "n H L D"]:
    """Return some positions of a row; the gradient is that of a plain selection of rows."""
    return part.index_select(0, at.flatten()).unflatten(0, at.shape).transpose(1, 2)


class _Bucket(NamedTuple):
    """Documents of similar lengths, padded at their ends to the same one."""

    positions: Int[Tensor, "n L"]
    """Positions in the row; those of padding are 0."""
    keys: Int[Tensor, "n P+L"]
    """Positions that are read: of an earlier document, and their own."""
    is_token: Int[Tensor, " N"]
    """Places in the flattened bucket that are no padding."""


class _Plan(NamedTuple):
    buckets: list[_Bucket]
    order: Int[Tensor, " N"]
    """The place of every position of the row among the tokens of all buckets."""


@lru_cache(maxsize=8)
def _plan(segments: tuple[tuple[int, int, int, int], ...], device: torch.device) -> _Plan:
    """Return the buckets of documents; those of a bucket read equally long earlier ones."""
    starts, ends, firsts, lasts = torch.tensor(segments).T
    sizes, before = ends - starts, lasts - firsts
    steps = (2 ** (sizes.double().log2().floor().long() - STEPS_PER_OCTAVE.bit_length() + 1)).long()
    steps = steps.clamp_min(1)
    kinds = torch.stack([before, -(-sizes // steps) * steps], dim=1)
    buckets, flat = [], []
    for prefix, width in kinds.unique(dim=0).tolist():
        at = (kinds == torch.tensor([prefix, width])).all(dim=1).nonzero().squeeze(1)
        columns = torch.arange(width)
        is_token = columns < sizes[at, None]
        positions = torch.where(is_token, starts[at, None] + columns, 0)
        keys = torch.cat([firsts[at, None] + torch.arange(prefix), positions], dim=1)
        flat.append(positions[is_token])
        places = is_token.flatten().nonzero().squeeze(1)
        buckets.append(_Bucket(*(part.to(device) for part in (positions, keys, places))))
    return _Plan(buckets, torch.cat(flat).argsort().to(device))


class _Settings(NamedTuple):
    groups: int
    """Queries that share a key."""
    dropout: float
    scaling: float | None
    window: int | None
    softcap: float | None


def _attend(
    query: Float[Tensor, "n H L D"],
    key: Float[Tensor, "n G P+L D"],
    value: Float[Tensor, "n G P+L D"],
    settings: _Settings,
) -> Float[Tensor, "n H L D"]:
    """Return causal attention in rows of one document each; padding at the end is not seen."""
    if settings.groups > 1:
        key, value = (part.repeat_interleave(settings.groups, dim=1) for part in (key, value))
    length = query.shape[2]
    if settings.softcap is not None:
        return _attend_capped(query, key, value, settings, settings.softcap)
    if key.shape[2] > length:
        rows = torch.arange(length, device=query.device)
        return F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=_reads(rows, key.shape[2], length, settings.window),
            dropout_p=settings.dropout,
            scale=settings.scaling,
        )
    if settings.window is not None and length > settings.window:
        return _attend_in_window(query, key, value, settings, settings.window)
    if not settings.dropout and prefers_whole(query):
        own_scale = query.shape[3] ** -0.5
        factor = 1.0 if settings.scaling is None else settings.scaling / own_scale
        scaled = query if factor == 1 else query * factor
        return attend(torch.stack([scaled, key, value]), causal_mask(length, query))
    return F.scaled_dot_product_attention(
        query, key, value, dropout_p=settings.dropout, scale=settings.scaling, is_causal=True
    )


def _attend_in_window(
    query: Float[Tensor, "n H L D"],
    key: Float[Tensor, "n H L D"],
    value: Float[Tensor, "n H L D"],
    settings: _Settings,
    window: int,
) -> Float[Tensor, "n H L D"]:
    """Return attention to the last ``window`` keys: each chunk of queries sees itself and the one
    before it."""
    length = query.shape[2]
    num_chunks = -(-length // window)
    padding = (0, 0, 0, num_chunks * window - length)
    query, key, value = (
        F.pad(part, padding).unflatten(2, (num_chunks, window)) for part in (query, key, value)
    )
    scale, dropout = settings.scaling, settings.dropout
    first = F.scaled_dot_product_attention(
        query[:, :, 0], key[:, :, 0], value[:, :, 0], dropout_p=dropout, scale=scale, is_causal=True
    )
    key, value = (torch.cat([part[:, :, :-1], part[:, :, 1:]], dim=3) for part in (key, value))
    row = torch.arange(window, device=query.device)[:, None]
    column = torch.arange(2 * window, device=query.device)
    rows = [part.transpose(1, 2).flatten(0, 1) for part in (query[:, :, 1:], key, value)]
    later = F.scaled_dot_product_attention(
        rows[0],
        rows[1],
        rows[2],
        attn_mask=(column > row) & (column <= row + window),
        dropout_p=dropout,
        scale=scale,
    )
    later = later.unflatten(0, (-1, num_chunks - 1)).transpose(1, 2)
    return torch.cat([first[:, :, None], later], dim=2).flatten(2, 3)[:, :, :length]


def _attend_capped(
    query: Float[Tensor, "n H L D"],
    key: Float[Tensor, "n H P+L D"],
    value: Float[Tensor, "n H P+L D"],
    settings: _Settings,
    cap: float,
) -> Float[Tensor, "n H L D"]:
    """Return attention with capped logits, for a number of queries at a time."""
    length = query.shape[2]
    scale = query.shape[3] ** -0.5 if settings.scaling is None else settings.scaling

    def attend(start: int) -> Float[Tensor, "n H C D"]:
        rows = torch.arange(start, min(start + CAPPED_QUERIES, length), device=query.device)
        allowed = _reads(rows, key.shape[2], length, settings.window)
        logits = query[:, :, rows] @ key.transpose(2, 3) * scale
        logits = cap * (logits / cap).tanh()
        weights = logits.float().masked_fill(~allowed, float("-inf")).softmax(dim=-1)
        return F.dropout(weights.to(value.dtype), settings.dropout) @ value

    starts = range(0, length, CAPPED_QUERIES)
    return torch.cat([checkpoint(attend, start, use_reentrant=False) for start in starts], dim=2)


def _reads(
    rows: Int[Tensor, " C"], num_keys: int, num_queries: int, window: int | None
) -> Bool[Tensor, "C P+L"]:
    """Return which keys some queries read; the last query is at the place of the last key."""
    places = rows[:, None] + num_keys - num_queries
    columns = torch.arange(num_keys, device=rows.device)
    reads = columns <= places
    return reads if window is None else reads & (columns > places - window)


AttentionInterface.register(IMPLEMENTATION, document_attention)
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
