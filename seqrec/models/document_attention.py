"""Attention within the documents of packed rows, without a dense mask, for decoders of any family.

Rows of several documents become one row without padding, ``[1, N]``. Boundaries travel with it as
transformers' own arguments of variable-length attention (``cu_seq_lens_q`` and the like): under
flash attention they select its kernel, and under ``IMPLEMENTATION`` documents of similar lengths
are attended to together by PyTorch's causal kernel. Memory grows with the length of a document,
not with its square.

Texts lie side by side in one row from the start, and their boundaries travel as ``segments``. A
segment may go on from an earlier one, which it reads whole, as several answers to one prompt do.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedModel

from seqrec.errors import SeqRecError
from seqrec.models.document_kernel import IMPLEMENTATION, Segments
from seqrec.models.documents import additive_mask, document_positions

FULL, SLIDING = "full_attention", "sliding_attention"
SUPPORTED_LAYERS = {FULL, SLIDING}


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


def require_document_attention(model: PreTrainedModel) -> None:
    """Let a language model read packed texts, also those that go on from earlier ones.

    Flash attention, which knows no ``segments``, is replaced.

    Raises:
        SeqRecError: its attention is of another kind.
    """
    if not use_document_attention(model):
        raise SeqRecError(
            f"model.backbone: {type(model).__name__} has an attention that cannot read packed "
            "texts; use another decoder"
        )
    model.set_attn_implementation(IMPLEMENTATION)


def segment_arguments(segments: Segments, device: torch.device) -> dict[str, Any]:
    """Return the arguments of a decoder's forward for a row of texts, beside tokens and places."""
    return {
        "segments": tuple(segments),
        "attention_mask": torch.ones(1, 1, 1, 1, device=device),  # no mask, as above
        "use_cache": False,
    }


def attends_by_document(model: PreTrainedModel) -> bool:
    """Return whether a decoder takes the arguments of ``flatten_documents``."""
    return model.config._attn_implementation == IMPLEMENTATION or _has_flash_attention(model)


def mask_by_layer(
    model: PreTrainedModel,
    allowed: Bool[Tensor, "B T T"],
    positions: Int[Tensor, "B T"],
    dtype: torch.dtype,
) -> Any:
    """Return dense masks as a decoder's layers read them: narrowed to the window that some have.

    Args:
        model: the decoder.
        allowed: which keys (columns) each query (row) attends to.
        positions: position of every token in its history, which windows are counted by.
        dtype: of the masks.
    """
    config = model.config.get_text_config(decoder=True)
    window: int | None = getattr(config, "sliding_window", None)
    layers = set(getattr(config, "layer_types", None) or [SLIDING if window else FULL])
    masks = {FULL: additive_mask(allowed, dtype)}
    if SLIDING in layers and window is not None:
        is_near = positions[:, :, None] - positions[:, None, :] < window
        masks[SLIDING] = additive_mask(allowed & is_near, dtype)
    return masks if len(layers) > 1 else masks[layers.pop()]


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
