"""Histories that share a packed row: attention masks, positions and ends of each document."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def document_mask(
    documents: Int[Tensor, "B T"], dtype: torch.dtype, *, is_causal: bool = True
) -> Float[Tensor, "B 1 T T"]:
    """Return the additive attention mask of packed rows.

    A position attends to the positions of its own document; with ``is_causal``, not to later ones.

    Args:
        documents: document id of each position.
        dtype: of the mask.
        is_causal: whether later positions are masked.
    """
    allowed = documents[:, :, None] == documents[:, None, :]
    if is_causal:
        length = documents.shape[1]
        allowed &= torch.ones(length, length, dtype=torch.bool, device=documents.device).tril()
    return additive_mask(allowed, dtype)


def additive_mask(allowed: Bool[Tensor, "B T T"], dtype: torch.dtype) -> Float[Tensor, "B 1 T T"]:
    """Return 0 where a query (row) may attend to a key (column), else the dtype's minimum."""
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]


def mask_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the dtype of attention logits: that of autocast if it is on, else the weights'."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return dtype


def document_positions(documents: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Return positions that restart at 0 at the first position of every document."""
    columns = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    is_start = torch.ones_like(documents, dtype=torch.bool)
    is_start[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return columns - columns.where(is_start, 0).cummax(dim=1).values


def find_document_ends(
    documents: Int[Tensor, "B T"],
) -> tuple[Int[Tensor, " H"], Int[Tensor, " H"], Int[Tensor, "B M"]]:
    """Return where every document ends: its row, its number in the row, and the end columns.

    The end column of document ``h`` is ``columns[rows[h], numbers[h]]``; rows with fewer
    documents are padded with 0.
    """
    is_last = documents > 0
    is_last[:, :-1] &= documents[:, 1:] != documents[:, :-1]
    rows, columns = is_last.nonzero(as_tuple=True)
    numbers = is_last.cumsum(dim=1)[rows, columns] - 1
    query_positions = columns.new_zeros(len(documents), int(is_last.sum(dim=1).max()))
    query_positions[rows, numbers] = columns
    return rows, numbers, query_positions


def last_positions(attention_mask: Int[Tensor, "B T"]) -> Int[Tensor, " B"]:
    """Return the last column of each row that is not padding."""
    columns = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    return columns.where(attention_mask > 0, 0).amax(dim=1)
