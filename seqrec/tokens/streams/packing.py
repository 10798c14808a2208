"""Several windows in one row: little padding, and no window reads another.

The model keeps windows apart by their number in ``documents``, from which it makes both the
attention mask and the positions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from seqrec.tokens.events.blocks import EventTokens
from seqrec.tokens.events.grammar import NO_TIME
from seqrec.tokens.streams.windows import Windows
from seqrec.tokens.tokenizer import ItemTokens

UNTIMED_SHARE = 0.1
"""Of windows whose times are left unknown in training, so that the model can be asked without."""


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
    features: Int[np.ndarray, "B T"] | None = None
    """The token of a learned feature that comes next; ``ignore_index`` where there is none."""
    num_features: float = 0.0
    """What a sum over them is divided by."""
    sources: Int[np.ndarray, "B T"] | None = None
    """The row of the log that every position shows, -1 for padding; where it is asked for."""
    times: Int64[np.ndarray, "B T 2"] | None = None
    """When the event of every position was, and to when gaps are counted there, in microseconds
    since 1970; for models with a time bias."""


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
    codes: Int[np.ndarray, "N C"] | None = None
    """What is told of each interaction, under an event grammar."""
    targets: Int[np.ndarray, " N"] | None = None
    """The title that each interaction is learned as, where it is not its own: a session's first."""
    rows: Int[np.ndarray, " N"] | None = None
    """Of every interaction, its row of the log, where batches shall say it."""
    times: Int64[np.ndarray, " N"] | None = None
    """Of every interaction when it was, where a model reads that."""

    def total_weight(self, windows: Int[np.ndarray, " W"]) -> float:
        """The weight of all targets that some of the windows teach."""
        starts = self.windows.starts[windows] + self.windows.num_context[windows] + 1
        ends = self.windows.starts[windows] + self.windows.lengths[windows] + 1
        pairs = zip(starts.tolist(), ends.tolist(), strict=True)
        return float(sum(self.label_weight[start:end].sum() for start, end in pairs))

    def num_features(self, windows: Int[np.ndarray, " W"], events: EventTokens) -> int:
        """How many features some of the windows teach."""
        assert self.codes is not None
        starts = self.windows.starts[windows] + self.windows.num_context[windows]
        ends = self.windows.starts[windows] + self.windows.lengths[windows] + 1
        pairs = zip(starts.tolist(), ends.tolist(), strict=True)
        return sum(events.count_feature_labels(self.codes[start:end]) for start, end in pairs)


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
    """Return the tokens and document numbers of packed rows of items.

    Args:
        items: the flat array that the windows are of.
        placement: where they come from and go to.
        tokens: from items to tokens.
        shape: rows, and items of a row.
    """
    blocks = tokens.encode(items[placement.source])
    return (
        pack_blocks(blocks, placement.place, shape, tokens.pad_token_id),
        pack_documents(placement, shape, tokens.block_size),
    )


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
        row_length: items of a row.
        ignore_index: the label of positions that are not learned.
    """
    shape, size = (max(len(rows), 1), row_length), tokens.block_size
    placement = place_windows(examples.windows, rows, row_length)
    input_ids, documents = pack_inputs(examples.items, placement, tokens, shape)
    labels, label_weight, total_weight = pack_labels(examples, placement, shape, size, ignore_index)
    sources = None
    if examples.rows is not None:
        sources = np.full(shape, -1, dtype=np.int64)
        sources.flat[placement.place] = examples.rows[placement.source]
        sources = sources.repeat(size, axis=1)
    return PackedBatch(input_ids, documents, labels, label_weight, total_weight, sources=sources)


def pack_labels(
    examples: Examples,
    placement: Placement,
    shape: tuple[int, int],
    block_size: int,
    ignore_index: int,
) -> tuple[Int[np.ndarray, "B T"], Float[np.ndarray, "B T"], float]:
    """Return the next item and its weight at the last position of every block of packed rows.

    The third value is the sum of the weights.
    """
    labels = np.full((shape[0] * shape[1], block_size), ignore_index, dtype=np.int64)
    label_weight = np.zeros(labels.shape, dtype=np.float32)
    target = placement.source + 1
    weight = np.where(placement.is_context, 0, examples.label_weight[target])
    titles = examples.items if examples.targets is None else examples.targets
    labels[placement.place, -1] = np.where(weight > 0, titles[target], ignore_index)
    label_weight[placement.place, -1] = weight
    total_weight = float(label_weight[:, -1].copy().sum())
    return labels.reshape(shape[0], -1), label_weight.reshape(shape[0], -1), total_weight


def pack_blocks(
    blocks: Int[np.ndarray, "N E"], place: Int[np.ndarray, " N"], shape: tuple[int, int], fill: int
) -> Int[np.ndarray, "B T"]:
    """Rows of blocks, those of ``place`` filled, the others with ``fill``.

    Args:
        blocks: tokens of events, or what belongs to each token.
        place: of every block, in the flat array of rows.
        shape: rows, and blocks of a row.
        fill: what stands elsewhere.
    """
    found = np.full((shape[0] * shape[1], blocks.shape[1]), fill, dtype=np.int64)
    found[place] = blocks
    return found.reshape(shape[0], -1)


def pack_times(
    token_times: Int64[np.ndarray, "N E 2"], place: Int[np.ndarray, " N"], shape: tuple[int, int]
) -> Int64[np.ndarray, "B T 2"]:
    """Rows of the times of blocks' tokens; unknown elsewhere."""
    flat = pack_blocks(token_times.reshape(len(token_times), -1), place, shape, NO_TIME)
    return flat.reshape(shape[0], -1, 2)


def pack_documents(
    placement: Placement, shape: tuple[int, int], block_size: int
) -> Int[np.ndarray, "B T"]:
    """Document numbers of packed rows of blocks."""
    documents = np.zeros(shape, dtype=np.int64)
    documents.flat[placement.place] = placement.document
    return documents.repeat(block_size, axis=1)


def pack_events(
    examples: Examples,
    rows: Sequence[Sequence[int]],
    events: EventTokens,
    generator: np.random.Generator,
    *,
    row_length: int,
    ignore_index: int,
) -> PackedBatch:
    """``pack_batch`` of events: a block of tokens each, of which the last predicts a title.

    Args:
        examples: where the windows are.
        rows: the windows of every row.
        events: from events to tokens.
        generator: draws which features and times are left open.
        row_length: events of a row.
        ignore_index: the label of positions that are not learned.
    """
    assert examples.codes is not None
    shape, size = (max(len(rows), 1), row_length), events.block_size
    placement = place_windows(examples.windows, rows, row_length)
    here, next_one = placement.source, placement.source + 1
    told = events.block_codes(examples.codes[here], examples.codes[next_one])
    blocks = events.encode(examples.items[here], events.drop_features(told, generator))
    learned = events.feature_labels(told, ignore_index)
    learned[placement.is_context] = ignore_index
    labels, label_weight, total_weight = pack_labels(examples, placement, shape, size, ignore_index)
    times = None
    if examples.times is not None:
        block_times = events.block_times(examples.times[here], examples.times[next_one])
        lengths = examples.windows.lengths[[window for row in rows for window in row]]
        is_untimed = generator.random(len(lengths)) < UNTIMED_SHARE
        block_times[np.repeat(is_untimed, lengths)] = NO_TIME
        times = pack_times(events.token_times(block_times), placement.place, shape)
    return PackedBatch(
        pack_blocks(blocks, placement.place, shape, events.tokens.pad_token_id),
        pack_documents(placement, shape, size),
        labels,
        label_weight,
        total_weight,
        pack_blocks(learned, placement.place, shape, ignore_index),
        float((learned != ignore_index).sum()),
        times=times,
    )
