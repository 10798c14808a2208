"""Attention of a decoder of transformers over segments of one row, without a mask of the row.

A segment reads itself causally and, by option, all of a segment before it: texts that lie side by
side, or several answers that continue one prompt. Only scores within segments are computed.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from seqrec.errors import SeqRecError

ATTENTION = "seqrec_segments"
"""The name under which transformers knows this attention."""
UNSUPPORTED = ("attn_logit_softcapping", "attention_chunk_size", "use_mla_attention")
"""Settings of a configuration that change the attention in ways that are not computed here."""


def use_segments(model: PreTrainedModel) -> None:
    """Let a decoder attend within the ``segments`` that its forward pass is given.

    Raises:
        SeqRecError: the model's attention is of another kind.
    """
    model.set_attn_implementation(ATTENTION)
    other = [name for name in UNSUPPORTED if getattr(model.config, name, None)]
    if model.config._attn_implementation != ATTENTION or other:
        raise SeqRecError(
            f"model.backbone: {type(model).__name__} has an attention that cannot read packed "
            f"texts{f' ({other[0]})' if other else ''}; use another decoder"
        )


def attend_segments(
    module: nn.Module,
    query: Float[Tensor, "1 H N E"],
    key: Float[Tensor, "1 K N E"],
    value: Float[Tensor, "1 K N E"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    segments: Sequence[tuple[int, int, int, int]],
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Float[Tensor, "1 N H E"], None]:
    """Return the attention of every position to those that it reads, in the form of transformers.

    Args:
        module: the layer.
        query: of all positions.
        key: of all positions; ``H`` is a multiple of ``K``.
        value: like ``key``.
        attention_mask: None; segments stand for it.
        scaling: factor of the scores.
        dropout: dropout rate of the weights.
        segments: start and end of each segment, and of the one before it that it reads; together
            they cover all positions.
        sliding_window: positions that a position reads at most, itself included.
    """
    groups = query.shape[1] // key.shape[1]
    parts = []
    for start, end, prefix_start, prefix_end in segments:
        own = slice(start, end)
        keys, values = key[:, :, own], value[:, :, own]
        if prefix_end > prefix_start:
            before = slice(prefix_start, prefix_end)
            keys = torch.cat([key[:, :, before], keys], dim=2)
            values = torch.cat([value[:, :, before], values], dim=2)
        num_keys, num_queries = keys.shape[2], end - start
        is_windowed = sliding_window is not None and num_keys > sliding_window
        is_plain = num_keys == num_queries and not is_windowed
        mask = None if is_plain else _mask(num_queries, num_keys, sliding_window, query.device)
        parts.append(
            F.scaled_dot_product_attention(
                query[:, :, own],
                keys.repeat_interleave(groups, dim=1),
                values.repeat_interleave(groups, dim=1),
                attn_mask=mask,
                dropout_p=dropout,
                is_causal=is_plain,
                scale=scaling,
            ).transpose(1, 2)
        )
    return torch.cat(parts, dim=1), None


def _mask(
    num_queries: int, num_keys: int, window: int | None, device: torch.device
) -> Bool[Tensor, "Q K"]:
    """Return which keys each query reads; the last query is at the place of the last key."""
    reads = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    reads = reads.tril(num_keys - num_queries)
    return reads if window is None else reads.triu(num_keys - num_queries - window + 1)


def _no_mask(*_: Any, **__: Any) -> None:
    """Return no mask: segments stand for it."""


AttentionInterface.register(ATTENTION, attend_segments)
AttentionMaskInterface.register(ATTENTION, _no_mask)
