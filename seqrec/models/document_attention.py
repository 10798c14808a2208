"""Attention within the documents of packed rows, without a dense mask, for decoders of any family.

Rows of several documents become one row without padding, ``[1, N]``. Boundaries travel with it as
transformers' own arguments of variable-length attention (``cu_seq_lens_q`` and the like): under
flash attention they select its kernel, and under ``IMPLEMENTATION`` documents of similar lengths
are attended to together by PyTorch's causal kernel. Memory grows with the length of a document,
not with its square.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from seqrec.models.documents import document_positions

IMPLEMENTATION = "seqrec_documents"
"""Name of the attention among those of transformers."""
SUPPORTED_LAYERS = {"full_attention", "sliding_attention"}
STEPS_PER_OCTAVE = 4
"""Documents are padded to one of this number of lengths between two powers of two."""
CAPPED_QUERIES = 256
"""Queries whose logits are held at once, if the logits are capped."""


class FlatDocuments(NamedTuple):
    """The positions of packed rows that belong to documents, in one row."""

    positions: Int[Tensor, " N"]
    """Places in the flattened rows, in order."""
    arguments: dict[str, Any]
    """Arguments of a decoder's forward for the one row, beside its tokens or vectors."""


def use_document_attention(model: PreTrainedModel) -> bool:
    """Let a decoder attend within documents; return whether it can.

    Flash attention stays if it is selected: it takes the same arguments. Decoders with layers of
    other kinds than full and sliding causal attention, or with attention code of their own, need
    a dense mask.
    """
    config = model.config.get_text_config(decoder=True)
    layers = set(getattr(config, "layer_types", None) or SUPPORTED_LAYERS)
    is_bidirectional = getattr(config, "use_bidirectional_attention", False)
    if is_bidirectional or not getattr(config, "is_causal", True) or layers - SUPPORTED_LAYERS:
        return False
    if not model._supports_attention_backend:
        return False
    if not _has_flash_attention(model):
        model.set_attn_implementation(IMPLEMENTATION)
    return True


def attends_by_document(model: PreTrainedModel) -> bool:
    """Return whether a decoder takes the arguments of ``flatten_documents``."""
    return model.config._attn_implementation == IMPLEMENTATION or _has_flash_attention(model)


def _has_flash_attention(model: PreTrainedModel) -> bool:
    return "flash" in (model.config._attn_implementation or "")


def flatten_documents(documents: Int[Tensor, "B T"], model: PreTrainedModel) -> FlatDocuments:
    """Return how packed rows are read as one row without padding.

    Args:
        documents: document id of each position: 0 is padding, and the positions of a document
            share an id.
        model: the decoder, which ``attends_by_document``.
    """
    position_ids = document_positions(documents).flatten()
    positions = documents.flatten().nonzero().squeeze(1)
    position_ids = position_ids[positions]
    starts = (position_ids == 0).nonzero().squeeze(1).int()
    bounds = torch.cat([starts, starts.new_tensor([len(positions)])])
    longest = int(bounds.diff().max()) if len(starts) else 0
    mask = None if _has_flash_attention(model) else torch.ones(1, 1, 1, 1, device=documents.device)
    arguments = {
        "position_ids": position_ids[None],
        "attention_mask": mask,  # four dimensions: transformers makes no mask of its own
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
        "use_cache": False,
    }
    return FlatDocuments(positions, arguments)


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
        others: arguments of other implementations.

    Raises:
        ValueError: attention with sinks or a position bias, which have no such form.
    """
    if cu_seq_lens_q is None:
        more = {"softcap": softcap, **others}
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **more
        )  # type: ignore[return-value]
    for name in ("s_aux", "position_bias"):
        if others.get(name) is not None:
            raise ValueError(f"{name}: attention within documents has none")
    groups = query.shape[1] // key.shape[1]
    parts = [part[0].transpose(0, 1) for part in (query, key, value)]
    settings = _Settings(groups, dropout, scaling, sliding_window, softcap)
    lengths = tuple(cu_seq_lens_q.diff().tolist())
    buckets, order = _bucket(lengths, query.device)
    outputs = []
    for bucket in buckets:
        rows = [part[bucket.positions].transpose(1, 2) for part in parts]
        output = _attend(rows[0], rows[1], rows[2], settings).transpose(1, 2)
        outputs.append(output.flatten(0, 1)[bucket.is_token])
    return torch.cat(outputs)[order][None], None


class _Bucket(NamedTuple):
    """Documents of similar lengths, padded at their ends to the same one."""

    positions: Int[Tensor, "n L"]
    """Positions in the row; those of padding are 0."""
    is_token: Tensor
    """Places in the flattened bucket that are no padding."""


@lru_cache(maxsize=8)
def _bucket(
    lengths: tuple[int, ...], device: torch.device
) -> tuple[list[_Bucket], Int[Tensor, " N"]]:
    """Return the buckets of documents, and the place of every position among their tokens."""
    sizes = torch.tensor(lengths)
    starts = sizes.cumsum(0) - sizes
    steps = (2 ** (sizes.double().log2().floor().long() - STEPS_PER_OCTAVE.bit_length() + 1)).long()
    steps = steps.clamp_min(1)
    padded = -(-sizes // steps) * steps
    buckets, flat = [], []
    for width in padded.unique().tolist():
        at = (padded == width).nonzero().squeeze(1)
        columns = torch.arange(width)
        is_token = columns < sizes[at, None]
        positions = torch.where(is_token, starts[at, None] + columns, 0)
        flat.append(positions[is_token])
        places = is_token.flatten().nonzero().squeeze(1)
        buckets.append(_Bucket(positions.to(device), places.to(device)))
    return buckets, torch.cat(flat).argsort().to(device)


class _Settings(NamedTuple):
    groups: int
    """Queries that share a key."""
    dropout: float
    scaling: float | None
    window: int | None
    softcap: float | None


def _attend(
    query: Float[Tensor, "n H L D"],
    key: Float[Tensor, "n G L D"],
    value: Float[Tensor, "n G L D"],
    settings: _Settings,
) -> Float[Tensor, "n H L D"]:
    """Return causal attention in rows of one document each; padding at the end is not seen."""
    if settings.groups > 1:
        key, value = (part.repeat_interleave(settings.groups, dim=1) for part in (key, value))
    length = query.shape[2]
    if settings.softcap is not None:
        return _attend_capped(query, key, value, settings, settings.softcap)
    if settings.window is not None and length > settings.window:
        return _attend_in_window(query, key, value, settings, settings.window)
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
    key: Float[Tensor, "n H L D"],
    value: Float[Tensor, "n H L D"],
    settings: _Settings,
    cap: float,
) -> Float[Tensor, "n H L D"]:
    """Return attention with capped logits, for a number of queries at a time."""
    length = query.shape[2]
    scale = query.shape[3] ** -0.5 if settings.scaling is None else settings.scaling

    def attend(start: int) -> Float[Tensor, "n H C D"]:
        rows = torch.arange(start, min(start + CAPPED_QUERIES, length), device=query.device)
        columns = torch.arange(length, device=query.device)
        allowed = columns <= rows[:, None]
        if settings.window is not None:
            allowed &= columns > rows[:, None] - settings.window
        logits = query[:, :, rows] @ key.transpose(2, 3) * scale
        logits = cap * (logits / cap).tanh()
        weights = logits.float().masked_fill(~allowed, float("-inf")).softmax(dim=-1)
        return F.dropout(weights.to(value.dtype), settings.dropout) @ value

    starts = range(0, length, CAPPED_QUERIES)
    return torch.cat([checkpoint(attend, start, use_reentrant=False) for start in starts], dim=2)


AttentionInterface.register(IMPLEMENTATION, document_attention)
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
