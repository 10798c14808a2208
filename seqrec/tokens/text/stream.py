"""Batches of the examples of text files, which are read again for every batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.data.text_files import Place, TextFiles
from seqrec.tokens.streams.base import StreamPosition, shuffle_batches
from seqrec.tokens.streams.placement import pack_rows

Encode = Callable[[Mapping[str, Any], str], Any]
"""Returns a record's example, or None."""
BuildBatch = Callable[[Sequence[Any], Sequence[int], Callable[[int], Any]], Any]
"""Returns the batch of some examples, given their numbers and a function that returns others."""


class TextIndex(NamedTuple):
    """Places of the examples of text files, and their sizes."""

    places: Int[np.ndarray, "E 3"]
    lengths: Int[np.ndarray, " E"]
    """Tokens of each example."""
    weights: Float[np.ndarray, " E"]
    """Weight of the targets of each example."""

    @classmethod
    def build(
        cls, files: TextFiles, encode: Encode, measure: Callable[[Any], tuple[int, float]]
    ) -> "TextIndex":
        """Read all files once; what ``encode`` leaves out is not in the index.

        Args:
            files: the data.
            encode: returns a record's example.
            measure: returns the tokens and the weight of an example.
        """
        rows = []
        for place, record in files.records():
            example = encode(record, files.name(place))
            if example is not None:
                rows.append((*place, *measure(example)))
        table = np.array(rows, dtype=np.float64).reshape(-1, 5)
        return cls(table[:, :3].astype(np.int64), table[:, 3].astype(np.int64), table[:, 4])

    def select(self, is_chosen: Bool[np.ndarray, " E"]) -> "TextIndex":
        """Return a part of the index."""
        return TextIndex(*(part[is_chosen] for part in self))

    def split(self, share: float, seed: int) -> tuple["TextIndex", "TextIndex"]:
        """Return the examples to train on and a random share that is held out."""
        num_held = round(share * len(self.lengths))
        is_held = np.zeros(len(self.lengths), dtype=bool)
        is_held[np.random.default_rng(seed).permutation(len(is_held))[:num_held]] = True
        return self.select(~is_held), self.select(is_held)


class TextStream:
    """Batches of packed examples; seed and position determine every choice.

    Examples are packed by best fit into rows of at most ``row_length`` tokens; a batch has a number
    of rows, which lie side by side without padding.
    """

    def __init__(
        self,
        files: TextFiles,
        index: TextIndex,
        encode: Encode,
        build_batch: BuildBatch,
        *,
        row_length: int,
        batch_size: int,
        seed: int,
    ) -> None:
        """Count the batches.

        Args:
            files: the data.
            index: the examples.
            encode: returns a record's example.
            build_batch: makes a batch of examples, given their numbers; it may ask for others.
            row_length: most tokens of a row; at least those of the longest example.
            batch_size: rows of a batch.
            seed: of the order.
        """
        self.files = files
        self.index = index
        self.encode = encode
        self.build_batch = build_batch
        self.row_length = max(row_length, int(index.lengths.max(initial=1)))
        self.batch_size = batch_size
        self.seed = seed
        self._fixed_rows = pack_rows(index.lengths, self.row_length)
        self.num_batches = max(-(-len(self._fixed_rows) // batch_size), 1)
        """Batches of an epoch, the same in every epoch."""

    def batches(self, position: StreamPosition) -> Iterator[tuple[StreamPosition, Any]]:
        """Yield the rest of an epoch from a position on: the position after each batch, and it."""
        generator = np.random.default_rng((self.seed, position.epoch))
        batches = shuffle_batches(self.index.lengths, self.row_length, self.num_batches, generator)
        for batch in range(position.batch, self.num_batches):
            after = StreamPosition(position.epoch, 0, batch + 1)
            if after.batch == self.num_batches:
                after = StreamPosition(position.epoch + 1)
            yield after, self._batch(batches[batch])

    def in_order(self) -> Iterator[Any]:
        """Yield all examples once, in a fixed order."""
        for first in range(0, len(self._fixed_rows), self.batch_size):
            yield self._batch(self._fixed_rows[first : first + self.batch_size])

    def example(self, number: int) -> tuple[dict[str, Any], str]:
        """Return the record of an example, and its name in messages."""
        place = Place(*self.index.places[number].tolist())
        return self.files.read(place), self.files.name(place)

    def encode_number(self, number: int) -> Any:
        """Return an example by its number; after the last one follows the first."""
        return self.encode(*self.example(number % len(self.index.lengths)))

    def _batch(self, rows: Sequence[Sequence[int]]) -> Any:
        numbers = [number for row in rows for number in row]
        examples = [self.encode_number(number) for number in numbers]
        return self.build_batch(examples, numbers, self.encode_number)
