"""Packing of rated histories: a start, then every item but the last with its rating."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from seqrec.tokens.streams.placement import (
    Placement,
    pack_blocks,
    pack_documents,
    pack_rows,
    place_windows,
)
from seqrec.tokens.streams.ratings import START
from seqrec.tokens.streams.windows import Windows
from seqrec.tokens.tokenizer import ItemTokens


class PackedHistories(NamedTuple):
    """Packed histories, each after a start, and their placement."""

    input_ids: Int[np.ndarray, "B T"]
    ratings: Int[np.ndarray, "B T"]
    documents: Int[np.ndarray, "B T"]
    placement: Placement
    """Placement of the events, each at the position before it."""


def pack_rated(
    items: Int[np.ndarray, " N"],
    rating_rows: Int[np.ndarray, " N"],
    windows: Windows,
    rows: Sequence[Sequence[int]],
    tokens: ItemTokens,
    row_length: int,
) -> PackedHistories:
    """Pack the windows of some rows: a start each, then all their events but the last.

    Args:
        items: items of the events.
        rating_rows: their rows of the rating embedding.
        windows: stretches of the events.
        rows: the windows of every row, which fit in it.
        tokens: from items to tokens.
        row_length: items of a row.
    """
    shape = (max(len(rows), 1), row_length)
    placement = place_windows(windows, rows, row_length)
    lengths = windows.lengths[[window for row in rows for window in row]].astype(np.int64)
    is_start = np.zeros(len(placement.source), dtype=bool)
    is_start[np.cumsum(lengths) - lengths] = True
    before = placement.source - 1
    ratings = np.full(shape, START, dtype=np.int64)
    past = np.where(is_start[:, None], tokens.pad_token_id, tokens.encode(items[before]))
    ratings.flat[placement.slot] = np.where(is_start, START, rating_rows[before])
    return PackedHistories(
        pack_blocks(past, placement.slot, shape, tokens.pad_token_id),
        ratings.repeat(tokens.block_size, axis=1),
        pack_documents(placement, shape, tokens.block_size),
        placement,
    )


def pack_prompts(
    histories: Sequence[Int[np.ndarray, " T"]],
    rating_rows: Sequence[Int[np.ndarray, " T"]],
    tokens: ItemTokens,
    max_length: int,
) -> tuple[PackedHistories, Int[np.ndarray, " B"]]:
    """Pack histories as ``RatedStream`` does, their last ``max_length - 1`` items.

    Returns:
        The rows, and the index of every document's history, row by row.
    """
    items, ratings, windows = build_prompts(histories, rating_rows, max_length)
    longest = int(windows.lengths.max())
    rows = pack_rows(windows.lengths, longest)
    packed = pack_rated(items, ratings, windows, rows, tokens, longest)
    return packed, np.array([window for row in rows for window in row], dtype=np.int64)


def build_prompts(
    histories: Sequence[Int[np.ndarray, " T"]],
    rating_rows: Sequence[Int[np.ndarray, " T"]],
    max_length: int,
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"], Windows]:
    """Return histories with a candidate after each, for ``pack_rated``.

    Returns:
        Items, rows of the rating embedding, and a window of each history: its read items and the
        candidate.
    """
    lengths = np.array([len(history) + 1 for history in histories], dtype=np.int64)
    candidate = np.zeros(1, dtype=np.int64)  # a placeholder, which is not read
    items = np.concatenate([part for history in histories for part in (history, candidate)])
    ratings = np.concatenate([part for rows in rating_rows for part in (rows, candidate)])
    read = np.minimum(lengths, max_length)
    return items, ratings, Windows(np.cumsum(lengths) - read, read, np.zeros_like(read))
