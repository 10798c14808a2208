"""Streams of training batches: their position, order and resumption."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from seqrec.tokens.streams.placement import fit_row_length, pack_rows
from seqrec.tokens.streams.windows import Windows


class StreamPosition(NamedTuple):
    """The position of a run in its stream: the next batch."""

    epoch: int = 0
    pool: int = 0
    batch: int = 0
    """Within the pool."""


def shuffle_batches(
    lengths: Int[np.ndarray, " W"],
    row_length: int,
    num_batches: int,
    generator: np.random.Generator,
) -> list[list[list[int]]]:
    """Return the windows of every row of every batch: shuffled, packed, and cut evenly.

    Another order may fill fewer rows than there are batches. The rows with most windows are split
    then, so that no batch is empty.

    Args:
        lengths: items of every window.
        row_length: items of a row.
        num_batches: number of batches to cut the rows into, at most that of the windows.
        generator: draws the order of windows, then of rows.
    """
    order = generator.permutation(len(lengths))
    rows = pack_rows(lengths[order], row_length)
    generator.shuffle(rows)
    rows = [order[row].tolist() for row in rows]
    while len(rows) < min(num_batches, len(lengths)):
        longest = max(range(len(rows)), key=lambda row: len(rows[row]))
        half = len(rows[longest]) // 2
        rows[longest : longest + 1] = [rows[longest][:half], rows[longest][half:]]
    cuts = np.linspace(0, len(rows), num_batches + 1).round().astype(int).tolist()
    return [rows[start:end] for start, end in zip(cuts[:-1], cuts[1:], strict=True)]


class WindowStream(ABC):
    """Batches of windows whose log is in memory; seed and position determine every choice."""

    def __init__(
        self,
        windows: Windows,
        num_predictions: Int[np.ndarray, " W"],
        *,
        row_length: int,
        batch_size: int,
        seed: int,
        rank: int,
        num_ranks: int,
    ) -> None:
        """Count the batches.

        Args:
            windows: the windows of the log.
            num_predictions: the weight of every window: its number of predictions.
            row_length: most items of a row; long rows are cut to what the windows fill.
            batch_size: rows of a batch, all processes together.
            seed: of the order.
            rank: number of this process; it gets every ``num_ranks``-th row of a batch.
            num_ranks: processes that train together.
        """
        self.windows = windows
        self.num_predictions = num_predictions
        self.row_length = fit_row_length(row_length, int(windows.lengths.max(initial=0)))
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.num_ranks = num_ranks
        self._fixed_rows = pack_rows(windows.lengths, self.row_length)
        self.num_batches = max(-(-len(self._fixed_rows) // batch_size), 1)
        """Batches of an epoch, the same in every epoch and process."""

    @abstractmethod
    def _batch(self, rows: Sequence[Sequence[int]]) -> Any:
        """Return the batch of the windows of some rows, with its own ``total_weight``."""

    def batches(self, position: StreamPosition) -> Iterator[tuple[StreamPosition, Any]]:
        """Yield the rest of an epoch from a position on: the position after each batch, and it."""
        generator = np.random.default_rng((self.seed, position.epoch))
        batches = shuffle_batches(
            self.windows.lengths, self.row_length, self.num_batches, generator
        )
        for batch in range(position.batch, self.num_batches):
            after = StreamPosition(position.epoch, 0, batch + 1)
            if after.batch == self.num_batches:
                after = StreamPosition(position.epoch + 1)
            yield after, self._part(batches[batch])

    def in_order(self, start: int = 0) -> Iterator[Any]:
        """Yield all windows once, in a fixed order, from the ``start``-th batch on."""
        for first in range(start * self.batch_size, len(self._fixed_rows), self.batch_size):
            yield self._batch(self._fixed_rows[first : first + self.batch_size])

    def _part(self, rows: Sequence[Sequence[int]]) -> Any:
        """Return this process's part of a batch, with its share of the whole batch's weight."""
        total = sum(int(self.num_predictions[row].sum()) for row in rows)
        batch = self._batch(rows[self.rank :: self.num_ranks])
        return batch._replace(total_weight=total / self.num_ranks)
