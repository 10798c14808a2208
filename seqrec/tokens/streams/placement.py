"""Placement of windows in packed rows: best-fit packing, and arrays written in that layout."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int64

from seqrec.tokens.events.times import NO_TIME
from seqrec.tokens.streams.windows import Windows

SHORTEST_LONG_ROW = 512
"""Rows up to this length are as long as the settings say, however short the histories are."""


def fit_row_length(row_length: int, longest: int) -> int:
    """Return the length of rows for windows that are all shorter than the settings allow.

    Attention takes time and memory by the square of the rows' length, so rows much longer than
    the longest window would cost far more than they hold.

    Args:
        row_length: items of a row by the settings.
        longest: items of the longest window.
    """
    return min(row_length, max(longest, SHORTEST_LONG_ROW))


def pack_rows(lengths: Int[np.ndarray, " W"], row_length: int) -> list[list[int]]:
    """Pack windows into rows of ``row_length``, in their order, each into the tightest row.

    Best fit: the bits of one integer mark which amounts of free space exist, so that the row of
    a window is found in one step.

    Returns:
        The windows of every row.
    """
    rows: list[list[int]] = []
    rows_with_space: list[list[int]] = [[] for _ in range(row_length + 1)]
    spaces = 0
    for window, length in enumerate(lengths.tolist()):
        fitting = spaces >> length
        if fitting:
            space = length + (fitting & -fitting).bit_length() - 1
            row = rows_with_space[space].pop()
            if not rows_with_space[space]:
                spaces ^= 1 << space
        else:
            space, row = row_length, len(rows)
            rows.append([])
        rows[row].append(window)
        left = space - length
        if left:
            rows_with_space[left].append(row)
            spaces |= 1 << left
    return rows


class Placement(NamedTuple):
    """The items of some windows: their indices in the log, and their slots in packed rows."""

    source: Int[np.ndarray, " N"]
    """Index in the flat array of items."""
    slot: Int[np.ndarray, " N"]
    """Index in the flat array of rows."""
    document: Int[np.ndarray, " N"]
    """Number of the window within its row, from 1."""
    is_context: Bool[np.ndarray, " N"]


def place_windows(windows: Windows, rows: Sequence[Sequence[int]], row_length: int) -> Placement:
    """Place the windows of every row, one after the other from its first column on."""
    chosen = np.array([window for row in rows for window in row], dtype=np.int64)
    lengths = windows.lengths[chosen]
    per_row = np.array([len(row) for row in rows], dtype=np.int64)
    first = np.cumsum(per_row) - per_row
    before = np.cumsum(lengths) - lengths
    row_of = np.repeat(np.arange(len(rows)), per_row)
    column = before - before[first][row_of]
    number = np.arange(len(chosen)) - first[row_of] + 1
    steps = np.arange(lengths.sum()) - np.repeat(before, lengths)
    return Placement(
        source=np.repeat(windows.starts[chosen], lengths) + steps,
        slot=np.repeat(row_of * row_length + column, lengths) + steps,
        document=np.repeat(number, lengths),
        is_context=steps < np.repeat(windows.num_context[chosen], lengths),
    )


def pack_blocks(
    blocks: Int[np.ndarray, "N E"], slots: Int[np.ndarray, " N"], shape: tuple[int, int], fill: int
) -> Int[np.ndarray, "B T"]:
    """Return rows of blocks, with ``fill`` where no block stands.

    Args:
        blocks: tokens of events, or a number for each token.
        slots: index of every block in the flat array of rows.
        shape: rows, and blocks of a row.
        fill: the value elsewhere.
    """
    found = np.full((shape[0] * shape[1], blocks.shape[1]), fill, dtype=np.int64)
    found[slots] = blocks
    return found.reshape(shape[0], -1)


def pack_times(
    token_times: Int64[np.ndarray, "N E 2"], slots: Int[np.ndarray, " N"], shape: tuple[int, int]
) -> Int64[np.ndarray, "B T 2"]:
    """Return rows of the times of blocks' tokens; unknown elsewhere."""
    flat = pack_blocks(token_times.reshape(len(token_times), -1), slots, shape, NO_TIME)
    return flat.reshape(shape[0], -1, 2)


def pack_documents(
    placement: Placement, shape: tuple[int, int], block_size: int
) -> Int[np.ndarray, "B T"]:
    """Return the document numbers of packed rows of blocks."""
    documents = np.zeros(shape, dtype=np.int64)
    documents.flat[placement.slot] = placement.document
    return documents.repeat(block_size, axis=1)
