"""Streams of training batches: their position, order and resumption."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from seqrec.tokens.streams.placement import pack_rows
from seqrec.tokens.streams.windows import Windows


class StreamPosition(NamedTuple):
    """Where a run is: the next batch to come."""

    epoch: int = 0
    pool: int = 0
    batch: int = 0
    """Within the pool."""


class WindowStream(ABC):
    """Batches of windows whose log is in memory; every choice follows from seed and place."""

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
            windows: which stretches are read.
            num_predictions: what a window weighs: how much is asked in it.
            row_length: items of a row.
            batch_size: rows of a batch, all processes together.
            seed: of the order.
            rank: which of the processes this is; it gets every ``num_ranks``-th row of a batch.
            num_ranks: processes that train together.
        """
        self.windows = windows
        self.num_predictions = num_predictions
        self.row_length = row_length
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.num_ranks = num_ranks
        self._fixed_rows = pack_rows(windows.lengths, row_length)
        self.num_batches = max(-(-len(self._fixed_rows) // batch_size), 1)
        """Batches of an epoch, the same in every epoch and process."""

    @abstractmethod
    def _batch(self, rows: Sequence[Sequence[int]]) -> Any:
        """The windows of some rows, with the ``total_weight`` of what is asked in them."""

    def batches(self, place: StreamPosition) -> Iterator[tuple[StreamPosition, Any]]:
        """The batches from a place to the end of its epoch, each with the place after it."""
        generator = np.random.default_rng((self.seed, place.epoch))
        order = generator.permutation(len(self.windows.starts))
        rows = pack_rows(self.windows.lengths[order], self.row_length)
        generator.shuffle(rows)
        rows = [order[row].tolist() for row in rows]
        cuts = np.linspace(0, len(rows), self.num_batches + 1).round().astype(int)
        for batch in range(place.batch, self.num_batches):
            is_last = batch + 1 == self.num_batches
            after = (
                StreamPosition(place.epoch + 1)
                if is_last
                else StreamPosition(place.epoch, 0, batch + 1)
            )
            yield after, self._part(rows[cuts[batch] : cuts[batch + 1]])

    def in_order(self, start: int = 0) -> Iterator[Any]:
        """All windows once, in an order that does not change, from the ``start``-th batch on."""
        for first in range(start * self.batch_size, len(self._fixed_rows), self.batch_size):
            yield self._batch(self._fixed_rows[first : first + self.batch_size])

    def _part(self, rows: Sequence[Sequence[int]]) -> Any:
        """This process's part of a batch, which knows what the whole weighs."""
        total = sum(int(self.num_predictions[row].sum()) for row in rows)
        batch = self._batch(rows[self.rank :: self.num_ranks])
        return batch._replace(total_weight=total / self.num_ranks)
