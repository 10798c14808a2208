"""Several windows in one row: little padding, and no window reads another.

The model keeps windows apart by their number in ``documents``, from which it makes both the
attention mask and the positions.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

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


class PackedHistories:
    """Windows of histories as packed batches, in a new order every epoch.

    The order is a function of seed and epoch alone, so that any epoch can be made again.
    """

    def __init__(
        self,
        items: Int[np.ndarray, " N"],
        label_weight: Float[np.ndarray, " N"],
        windows: Windows,
        tokens: ItemTokens,
        *,
        row_length: int,
        batch_size: int,
        ignore_index: int,
        seed: int,
    ) -> None:
        """Hold the flat arrays that the windows point into.

        Args:
            items: interactions, histories one after the other.
            label_weight: how much each interaction counts as a target; 0 is read, not learned.
            windows: stretches of ``items`` whose targets stand one place further on.
            tokens: from items to tokens.
            row_length: positions of a row.
            batch_size: rows of a batch.
            ignore_index: the label of positions that are not learned.
            seed: of the order.
        """
        self.items = items
        self.label_weight = label_weight
        self.windows = windows
        self.tokens = tokens
        self.row_length = row_length
        self.batch_size = batch_size
        self.ignore_index = ignore_index
        self.seed = seed
        self.num_batches = -(-len(self._rows(0)) // batch_size)
        """Batches of an epoch, the same in every epoch."""

    def epoch(self, epoch: int) -> list[list[list[int]]]:
        """The batches of an epoch, as the windows of each of their rows.

        Another order packs into a few rows more or less, which the batches share.
        """
        rows = self._rows(epoch)
        cuts = np.linspace(0, len(rows), self.num_batches + 1).round().astype(int)
        return [rows[start:stop] for start, stop in zip(cuts, cuts[1:], strict=False)]

    def _rows(self, epoch: int) -> list[list[int]]:
        generator = np.random.default_rng((self.seed, epoch))
        order = generator.permutation(len(self.windows.starts))
        rows = pack_rows(self.windows.lengths[order], self.row_length)
        generator.shuffle(rows)
        return [order[row].tolist() for row in rows]

    def batch(self, rows: list[list[int]]) -> PackedBatch:
        """The arrays of a batch."""
        shape = (len(rows), self.row_length)
        windows = np.concatenate([np.asarray(row) for row in rows])
        lengths = self.windows.lengths[windows]
        per_row = [len(row) for row in rows]
        first = np.cumsum(per_row) - per_row
        before = np.cumsum(lengths) - lengths
        row_of = np.repeat(np.arange(len(rows)), per_row)
        column = before - before[first][row_of]
        number = np.arange(len(windows)) - first[row_of] + 1

        steps = np.arange(lengths.sum()) - np.repeat(before, lengths)
        source = np.repeat(self.windows.starts[windows], lengths) + steps
        place = np.repeat(row_of * self.row_length + column, lengths) + steps

        input_ids = np.full(shape, self.tokens.pad_token_id, dtype=np.int64)
        documents = np.zeros(shape, dtype=np.int64)
        labels = np.full(shape, self.ignore_index, dtype=np.int64)
        label_weight = np.zeros(shape, dtype=np.float32)
        input_ids.flat[place] = self.tokens.encode(self.items[source])
        documents.flat[place] = np.repeat(number, lengths)
        weight = self.label_weight[source + 1]
        labels.flat[place] = np.where(weight > 0, self.items[source + 1], self.ignore_index)
        label_weight.flat[place] = weight
        return PackedBatch(input_ids, documents, labels, label_weight)
