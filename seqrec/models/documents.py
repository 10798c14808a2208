"""Histories that share a packed row: attention masks, positions and ends of each document."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def document_mask(
    documents: Int[Tensor, "B T"], dtype: torch.dtype, *, is_causal: bool = True
) -> Float[Tensor, "B 1 T T"]:
    """0 where a position may read another; else the dtype's least.

    It reads the positions of its own document: if causal, those that are not later.
    """
    allowed = documents[:, :, None] == documents[:, None, :]
    if is_causal:
        length = documents.shape[1]
        allowed &= torch.ones(length, length, dtype=torch.bool, device=documents.device).tril()
    mask = torch.zeros(allowed.shape, dtype=dtype, device=documents.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]


def document_positions(documents: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Positions that restart at 0 where a new document begins."""
    columns = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    is_start = torch.ones_like(documents, dtype=torch.bool)
    is_start[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return columns - columns.where(is_start, 0).cummax(dim=1).values


def find_document_ends(
    documents: Int[Tensor, "B T"],
) -> tuple[Int[Tensor, " H"], Int[Tensor, " H"], Int[Tensor, "B M"]]:
    """Where every document ends: its row, its place among the row's, and the columns by both."""
    is_last = documents > 0
    is_last[:, :-1] &= documents[:, 1:] != documents[:, :-1]
    rows, columns = is_last.nonzero(as_tuple=True)
    place = is_last.cumsum(dim=1)[rows, columns] - 1
    query_positions = columns.new_zeros(len(documents), int(is_last.sum(dim=1).max()))
    query_positions[rows, place] = columns
    return rows, place, query_positions


def last_positions(attention_mask: Int[Tensor, "B T"]) -> Int[Tensor, " B"]:
    """The last column of each row that is not padding."""
    columns = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    return columns.where(attention_mask > 0, 0).amax(dim=1)
