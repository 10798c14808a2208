"""Several windows in one row: little padding, and no window reads another.

The model keeps windows apart by their number in ``documents``, from which it makes both the
attention mask and the positions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.tokens.tokenizer import ItemTokens
from seqrec.tokens.windows import Windows


class PackedBatch(NamedTuple):
    """Rows of windows, side by side."""

    input_ids: Int[np.ndarray, "B T"]
    documents: Int[np.ndarray, "B T"]
    """Number of the window within its row, from 1; 0 is padding."""
    labels: Int[np.ndarray, "B T"]
    """The item that comes next, in catalog rows; ``ignore_index`` where nothing is learned."""
    label_weight: Float[np.ndarray, "B T"]
    total_weight: float
    """What a sum over the batch's targets is divided by: their weight, unless the batch is one
    process's part of a larger one."""
    sources: Int[np.ndarray, "B T"] | None = None
    """The row of the log that every position shows, -1 for padding; where it is asked for."""


def pack_rows(lengths: Int[np.ndarray, " W"], row_length: int) -> list[list[int]]:
    """Windows put into rows of ``row_length``, in their order, each where it fits most tightly.

    Best fit, by free space: one integer holds, as bits, which amounts of free space some row
    has, so that a window finds its row at once.

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


class Examples(NamedTuple):
    """What is learned from some histories."""

    items: Int[np.ndarray, " N"]
    """Interactions, histories one after the other."""
    label_weight: Float[np.ndarray, " N"]
    """How much each interaction counts as a target; 0 is read, not learned."""
    windows: Windows
    """Stretches of ``items`` whose targets stand one place further on."""
    rows: Int[np.ndarray, " N"] | None = None
    """Of every interaction, its row of the log, where batches shall say it."""

    def total_weight(self, windows: Int[np.ndarray, " W"]) -> float:
        """The weight of all targets that some of the windows teach."""
        starts = self.windows.starts[windows] + self.windows.num_context[windows] + 1
        ends = self.windows.starts[windows] + self.windows.lengths[windows] + 1
        pairs = zip(starts.tolist(), ends.tolist(), strict=True)
        return float(sum(self.label_weight[start:end].sum() for start, end in pairs))


class Placement(NamedTuple):
    """Where the positions of some windows come from, and where in the packed rows they stand."""

    source: Int[np.ndarray, " N"]
    """In the flat array of items."""
    place: Int[np.ndarray, " N"]
    """In the flat array of rows."""
    document: Int[np.ndarray, " N"]
    """Number of the window within its row, from 1."""
    is_context: Bool[np.ndarray, " N"]


def place_windows(windows: Windows, rows: Sequence[Sequence[int]], row_length: int) -> Placement:
    """The windows of every row, one after the other from its first column on."""
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
        place=np.repeat(row_of * row_length + column, lengths) + steps,
        document=np.repeat(number, lengths),
        is_context=steps < np.repeat(windows.num_context[chosen], lengths),
    )


def pack_inputs(
    items: Int[np.ndarray, " N"], placement: Placement, tokens: ItemTokens, shape: tuple[int, int]
) -> tuple[Int[np.ndarray, "B T"], Int[np.ndarray, "B T"]]:
    """Tokens and document numbers of packed rows."""
    input_ids = np.full(shape, tokens.pad_token_id, dtype=np.int64)
    documents = np.zeros(shape, dtype=np.int64)
    input_ids.flat[placement.place] = tokens.encode(items[placement.source])
    documents.flat[placement.place] = placement.document
    return input_ids, documents


def pack_batch(
    examples: Examples,
    rows: Sequence[Sequence[int]],
    tokens: ItemTokens,
    *,
    row_length: int,
    ignore_index: int,
) -> PackedBatch:
    """The windows of some rows as arrays; without a row, one row of padding.

    Args:
        examples: where the windows are.
        rows: the windows of every row, which fit in it.
        tokens: from items to tokens.
        row_length: positions of a row.
        ignore_index: the label of positions that are not learned.
    """
    shape = (max(len(rows), 1), row_length)
    placement = place_windows(examples.windows, rows, row_length)
    input_ids, documents = pack_inputs(examples.items, placement, tokens, shape)
    labels = np.full(shape, ignore_index, dtype=np.int64)
    label_weight = np.zeros(shape, dtype=np.float32)
    target = placement.source + 1
    weight = np.where(placement.is_context, 0, examples.label_weight[target])
    labels.flat[placement.place] = np.where(weight > 0, examples.items[target], ignore_index)
    label_weight.flat[placement.place] = weight
    sources = None
    if examples.rows is not None:
        sources = np.full(shape, -1, dtype=np.int64)
        sources.flat[placement.place] = examples.rows[placement.source]
    total_weight = float(label_weight.sum())
    return PackedBatch(input_ids, documents, labels, label_weight, total_weight, sources)
