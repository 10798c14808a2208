"""Histories in memory, or read from disk a block at a time.

A block is a row group of ``interactions.parquet``. ``write_blocks`` never cuts a user's history
between two blocks, so that a log of any size can be streamed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from jaxtyping import Int, Int32, Int64, UInt8

from seqrec.data.file_states import open_same, read_state
from seqrec.data.parquet import write_errors_as_os_error
from seqrec.data.splits import TRAIN, VALIDATION

KEY_COLUMNS = ("user", "item", "split")
BLOCK_ROWS = 1 << 16
MISSING_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Histories:
    """Histories of users, end to end; user ``u`` has the rows ``offsets[u]:offsets[u + 1]``."""

    offsets: Int64[np.ndarray, " U+1"]
    items: Int32[np.ndarray, " N"]
    split: UInt8[np.ndarray, " N"]
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    """Other columns: float64 with NaN for missing values; words, empty if missing; ``time`` in
    int64 microseconds since 1970, ``MISSING_TIME`` if missing."""

    @classmethod
    def from_table(
        cls, table: pl.DataFrame, columns: Sequence[str], lengths: np.ndarray
    ) -> "Histories":
        """Build histories from interactions sorted by user, with ``lengths`` rows per user."""
        return cls(
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            items=table["item"].cast(pl.Int32).to_numpy(),
            split=table["split"].to_numpy(),
            columns={name: _as_array(table[name]) for name in columns},
        )

    def with_validation_in_training(self) -> "Histories":
        """Return the histories with the validation part as training."""
        split = np.where(self.split == VALIDATION, np.uint8(TRAIN), self.split)
        return replace(self, split=split)

    def item_counts(self, num_items: int) -> Int[np.ndarray, " I"]:
        """Return the number of occurrences of each item in the training part."""
        return np.bincount(self.items[self.split == TRAIN], minlength=num_items)

    def training_part(self, user: int, column: str | None = None) -> np.ndarray:
        """Return the items, or another column, of a user's training part, oldest first."""
        part = slice(self.offsets[user], self.offsets[user + 1])
        values = self.items if column is None else self.columns[column]
        return values[part][self.split[part] == TRAIN]


def write_blocks(table: pl.DataFrame, file: Path) -> None:
    """Write interactions, sorted by user, in row groups of complete histories.

    A row group ends with the user whose rows bring it to ``BLOCK_ROWS`` or more.
    """
    with (
        write_errors_as_os_error(file),
        pq.ParquetWriter(file, table[:0].to_arrow().schema, compression="zstd") as writer,
    ):
        for start, stop in _ranges_of_users(table["user"].to_numpy(), BLOCK_ROWS):
            writer.write_table(table[start:stop].to_arrow(), row_group_size=stop - start)


def _ranges_of_users(users: Int[np.ndarray, " N"], num_rows: int) -> list[tuple[int, int]]:
    """Return ranges of complete histories, each but the last with at least ``num_rows`` rows."""
    ends = np.append(np.flatnonzero(users[1:] != users[:-1]) + 1, len(users))
    ranges, start = [], 0
    while start < len(users):
        reached = np.searchsorted(ends, min(start + num_rows, len(users)))
        ranges.append((start, int(ends[reached])))
        start = int(ends[reached])
    return ranges


class Blocks:
    """Complete histories of users, read from disk on demand."""

    def __init__(
        self, file: Path, columns: Sequence[str] = (), *, trains_on_validation: bool = False
    ) -> None:
        """Open the file.

        Args:
            file: a file from ``write_blocks``.
            columns: other columns to read.
            trains_on_validation: read the validation part as training.
        """
        self.trains_on_validation = trains_on_validation
        self.file = file
        self.state = read_state(file)
        self.columns = list(columns)
        metadata = pq.read_metadata(file)
        groups = range(metadata.num_row_groups)
        self.num_rows = np.array([metadata.row_group(g).num_rows for g in groups], dtype=np.int64)
        """Number of interactions in every block."""

    def __len__(self) -> int:
        return len(self.num_rows)

    def read(self, blocks: Sequence[int]) -> Histories:
        """Return the histories of some blocks, in that order; users are numbered from 0."""
        names = list(dict.fromkeys([*KEY_COLUMNS, *self.columns]))
        with open_same(self.file, self.state) as opened, pq.ParquetFile(opened) as parquet:
            table = pl.DataFrame(parquet.read_row_groups(list(blocks), columns=names))
        users = table["user"].to_numpy()
        starts = np.flatnonzero(np.append(True, users[1:] != users[:-1])[: len(users)])
        lengths = np.diff(np.append(starts, len(users)))
        histories = Histories.from_table(table, self.columns, lengths)
        return histories.with_validation_in_training() if self.trains_on_validation else histories


def _as_array(values: pl.Series) -> np.ndarray:
    if values.dtype == pl.String:
        return values.fill_null("").to_numpy().astype(str)
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.cast_time_unit("us").cast(pl.Int64).fill_null(MISSING_TIME).to_numpy()
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
