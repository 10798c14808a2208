"""The prepared folder: interactions, items, users and a manifest with their checksums."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import polars as pl

from seqrec.data.catalog import read_items
from seqrec.data.file_states import FileState, read_state
from seqrec.data.histories import KEY_COLUMNS, Blocks, Histories
from seqrec.data.manifest import (
    INTERACTIONS_FILE,
    ITEMS_FILE,
    TABLES,
    USERS_FILE,
    check_table_file,
    read_manifest,
)
from seqrec.data.parquet import read_parquet
from seqrec.data.prepared_schema import check_interactions, check_numbered
from seqrec.data.splits import is_time_split
from seqrec.data.windows import find_windows
from seqrec.errors import SeqRecError

T = TypeVar("T")

TargetMode = Literal["together", "last", "successive"]


@dataclass(frozen=True)
class PreparedData:
    """A prepared folder whose files match the manifest."""

    path: Path
    manifest: dict[str, Any]
    states: tuple[FileState | None, ...]
    """The tables that were opened; others that replace them meanwhile are refused."""
    trains_on_validation: bool = False
    """The validation part is read as training."""

    @classmethod
    def open(cls, path: str | Path) -> "PreparedData":
        """Open the prepared folder at ``path``.

        Raises:
            SeqRecError: not a prepared folder, another format version, a file that is missing or
                was edited, tables of another schema.
        """
        path = Path(path)
        if windows := find_windows(path):
            raise SeqRecError(
                f"{path}: holds {len(windows)} windows; name one, such as {windows[0]}"
            )
        states = _read_states(path)
        manifest = read_manifest(path)
        for name in TABLES:
            check_table_file(path / name, manifest["files"][name])
        check_numbered(path / USERS_FILE, "user")
        check_numbered(path / ITEMS_FILE, "item")
        opened = cls(path, manifest, states)
        check_interactions(path / INTERACTIONS_FILE, opened.num_users, opened.num_items)
        return opened._same(opened)

    def _same(self, content: T) -> T:
        """Return what was read, unless another process replaced the tables meanwhile."""
        if _read_states(self.path) != self.states:
            raise SeqRecError(f"{self.path}: was replaced while it was read; start again")
        return content

    @property
    def num_users(self) -> int:
        """Number of users, including those who are never evaluated."""
        return self.manifest["files"][USERS_FILE]["rows"]

    @property
    def num_items(self) -> int:
        """Number of items in the catalog."""
        return self.manifest["files"][ITEMS_FILE]["rows"]

    @property
    def catalog_fingerprint(self) -> str:
        """Fingerprint of the item ids, in item order."""
        return self.manifest["catalog_fingerprint"]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the interactions, including their order and split."""
        return self.manifest["files"][INTERACTIONS_FILE]["sha256"]

    @property
    def provenance(self) -> dict[str, str]:
        """The path and the fingerprints, for the provenance of a run."""
        return {
            "data": str(self.path),
            "data_fingerprint": self.fingerprint,
            "catalog_fingerprint": self.catalog_fingerprint,
        }

    @property
    def split_by(self) -> str:
        """The split, in the syntax of ``--split-by``."""
        return self.manifest["options"]["split_by"]

    @property
    def targets(self) -> TargetMode:
        """``together``, or the ``--targets`` of a split by time."""
        is_by_time = is_time_split(self.split_by)
        return self.manifest["options"]["targets"] if is_by_time else "together"

    def with_validation_in_training(self) -> "PreparedData":
        """Return the same data, whose validation part is read as training."""
        return replace(self, trains_on_validation=True)

    def items(self) -> pl.DataFrame:
        """Return a row an item, in item order: ``item``, ``item_id`` and known attributes."""
        return self._same(read_items(self.path / ITEMS_FILE))

    def users(self) -> pl.DataFrame:
        """Return a row a user, in user order: ``user``, ``user_id`` and known attributes."""
        return self._same(read_parquet(self.path / USERS_FILE))

    def interactions(self) -> pl.DataFrame:
        """Return all interactions with every column, sorted by user, oldest first."""
        return self._same(read_parquet(self.path / INTERACTIONS_FILE))

    def histories(self, columns: Sequence[str] = (), *, has_words: bool = False) -> Histories:
        """Return all histories, with some of the log's columns.

        Args:
            columns: names of the columns.
            has_words: True if columns may hold words instead of numbers.

        Raises:
            SeqRecError: a column that is missing, or not numeric unless ``has_words``.
        """
        self._check_columns(columns, has_words)
        names = list(dict.fromkeys([*KEY_COLUMNS, *columns]))
        table = self._same(
            pl.read_parquet(self.path / INTERACTIONS_FILE, columns=names, glob=False)
        )
        lengths = np.bincount(table["user"].to_numpy(), minlength=self.num_users)
        histories = Histories.from_table(table, columns, lengths)
        return histories.with_validation_in_training() if self.trains_on_validation else histories

    def blocks(self, columns: Sequence[str] = (), *, has_words: bool = False) -> Blocks:
        """Return the same histories, to be read a block at a time; see ``histories``."""
        self._check_columns(columns, has_words)
        blocks = Blocks(
            self.path / INTERACTIONS_FILE, columns, trains_on_validation=self.trains_on_validation
        )
        return self._same(blocks)

    def usable_columns(self, has_words: bool = False) -> list[str]:
        """Return the columns that ``histories`` can read: numbers, and words if ``has_words``."""
        schema = pl.scan_parquet(self.path / INTERACTIONS_FILE, glob=False).collect_schema()
        return [
            name
            for name, dtype in schema.items()
            if (
                dtype.is_numeric()
                or dtype == pl.Boolean
                or (dtype == pl.Datetime and name == "time")
                or (has_words and dtype == pl.String)
            )
            and name not in KEY_COLUMNS
        ]

    def _check_columns(self, columns: Sequence[str], has_words: bool) -> None:
        usable = self.usable_columns(has_words)
        kind = "column" if has_words else "numeric column"
        for name in columns:
            if name not in usable:
                raise SeqRecError(
                    f"{self.path / INTERACTIONS_FILE}: no {kind} {name!r}; choose one of "
                    f"{', '.join(usable)}"
                )


def _read_states(path: Path) -> tuple[FileState | None, ...]:
    """Return the state of every table; None for one that is missing."""
    return tuple(read_state(path / name) if (path / name).is_file() else None for name in TABLES)
