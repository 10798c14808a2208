"""The prepared folder: interactions, items, users and a manifest that vouches for them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from seqrec.data.catalog import catalog_fingerprint, read_items, write_parquet
from seqrec.data.filters import Filters
from seqrec.data.histories import Blocks, Histories, write_blocks
from seqrec.data.interactions import Catalog, Interactions
from seqrec.data.log.sources import Log, sha256_of
from seqrec.data.splits import SplitBy
from seqrec.errors import SeqRecError

TargetMode = Literal["together", "last", "successive"]

FORMAT_VERSION = 2
MANIFEST_FILE = "manifest.json"
INTERACTIONS_FILE = "interactions.parquet"
ITEMS_FILE = "items.parquet"
USERS_FILE = "users.parquet"
TABLES = (INTERACTIONS_FILE, ITEMS_FILE, USERS_FILE)


def write_prepared(
    folder: Path,
    interactions: Interactions,
    *,
    source: str,
    log: Log,
    filters: Filters,
    split_by: SplitBy,
    catalog: Catalog = "watched",
) -> dict[str, Any]:
    """Write a prepared folder.

    Args:
        folder: an empty folder.
        interactions: what ``prepare_interactions`` made of the log.
        source: what the log is called.
        log: for what it knows of items and users, and for its checksums.
        filters: that were applied.
        split_by: that was applied.
        catalog: that was asked for.

    Returns:
        The manifest.

    Raises:
        OSError: the folder cannot be written.
    """
    tables = {
        INTERACTIONS_FILE: interactions.table,
        ITEMS_FILE: _known_rows("item", interactions.item_ids, log.items),
        USERS_FILE: _known_rows("user", interactions.user_ids, log.users),
    }
    for name, table in tables.items():
        write = write_blocks if name == INTERACTIONS_FILE else write_parquet
        write(table, folder / name)
    manifest = {
        "version": FORMAT_VERSION,
        "source": source,
        "sources": log.files,
        "columns": log.columns.given(),
        "renamed_columns": interactions.renamed,
        "time_unit": interactions.time_unit,
        "ordered_by": interactions.ordered_by,
        "options": {
            "split_by": split_by.text,
            "targets": split_by.targets,
            "order": log.columns.order,
            "min_rating": filters.min_rating,
            "min_user": filters.min_user,
            "min_item": filters.min_item,
            "repeats": filters.repeats,
            "cold_share": filters.cold_share,
            "catalog": catalog,
        },
        "split_points": interactions.cuts,
        "counts": interactions.counts,
        "catalog_fingerprint": catalog_fingerprint(interactions.item_ids.to_list()),
        "files": {
            name: {"rows": len(table), "sha256": sha256_of(folder / name)}
            for name, table in tables.items()
        },
    }
    manifest["sha256"] = _own_sha256(manifest)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _own_sha256(manifest: dict[str, Any]) -> str:
    """The checksum of what a manifest says, its own aside."""
    said = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class PreparedData:
    """A prepared folder that is whole and as it was written."""

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> "PreparedData":
        """The prepared folder at ``path``.

        Raises:
            SeqRecError: not a prepared folder, one of another version, or one of which a file is
                missing or was edited.
        """
        path = Path(path)
        manifest = _read_manifest(path)
        for name in TABLES:
            _check_file(path / name, manifest["files"][name])
        return cls(path, manifest)

    @property
    def num_users(self) -> int:
        """Users, those who are never evaluated among them."""
        return self.manifest["files"][USERS_FILE]["rows"]

    @property
    def num_items(self) -> int:
        """Items of the catalog."""
        return self.manifest["files"][ITEMS_FILE]["rows"]

    @property
    def catalog_fingerprint(self) -> str:
        """Of the item ids, in item order."""
        return self.manifest["catalog_fingerprint"]

    @property
    def fingerprint(self) -> str:
        """Of the interactions: who did what, in which order, in which part."""
        return self.manifest["files"][INTERACTIONS_FILE]["sha256"]

    @property
    def split_by(self) -> str:
        """The split, as the option says it."""
        return self.manifest["options"]["split_by"]

    @property
    def targets(self) -> TargetMode:
        """How targets are asked for: ``together``, or as a global-time split was told."""
        is_by_time = self.split_by.startswith("global-time")
        return self.manifest["options"]["targets"] if is_by_time else "together"

    def items(self) -> pl.DataFrame:
        """``item``, ``item_id``, and what is known: a row an item, in item order."""
        return read_items(self.path / ITEMS_FILE)

    def users(self) -> pl.DataFrame:
        """``user``, ``user_id``, and what is known: a row a user, in user order."""
        return pl.read_parquet(self.path / USERS_FILE, glob=False)

    def histories(self, columns: Sequence[str] = (), *, has_words: bool = False) -> Histories:
        """All histories, with some of the log's columns.

        Args:
            columns: their names.
            has_words: whether they may hold words instead of numbers.

        Raises:
            SeqRecError: a column that is not there, or not numeric where it should be.
        """
        self._check_columns(columns, has_words)
        wanted = list(dict.fromkeys(["user", "item", "split", *columns]))
        table = pl.read_parquet(self.path / INTERACTIONS_FILE, columns=wanted, glob=False)
        lengths = np.bincount(table["user"].to_numpy(), minlength=self.num_users)
        return Histories.of(table, columns, lengths)

    def blocks(self, columns: Sequence[str] = (), *, has_words: bool = False) -> Blocks:
        """The same histories, read a block at a time.

        Raises:
            SeqRecError: a column that is not there, or not numeric where it should be.
        """
        self._check_columns(columns, has_words)
        return Blocks(self.path / INTERACTIONS_FILE, columns)

    def usable_columns(self, has_words: bool = False) -> list[str]:
        """Columns of the log that ``histories`` may be asked for: numbers, and words if wanted."""
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
            and name not in ("user", "item", "split")
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


def _known_rows(role: str, ids: pl.Series, known: pl.DataFrame | None) -> pl.DataFrame:
    """Number and id of every user or item, with what is known of it."""
    id_name = f"{role}_id"
    table = pl.DataFrame({role: pl.int_range(len(ids), dtype=pl.UInt32, eager=True), id_name: ids})
    if known is not None:
        known = known.with_columns(pl.col(id_name).cast(pl.String)).unique(id_name, keep="first")
        if role in known.columns:
            free = f"{role}_in_log"
            while free in known.columns:
                free += "_"
            known = known.rename({role: free})
        table = table.join(known, on=id_name, how="left", maintain_order="left")
    if role == "user":
        return table
    for name, dtype in (("title", pl.String()), ("genres", pl.List(pl.String))):
        if name not in table.columns:
            table = table.with_columns(pl.lit(None, dtype).alias(name))
    first = ["item", "item_id", "title", "genres"]
    return table.select(*first, pl.exclude(first))


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST_FILE
    mend = "make it with seqrec prepare"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        version = manifest["version"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SeqRecError(f"{path}: not a prepared folder (no {MANIFEST_FILE}); {mend}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SeqRecError(f"{file}: not the manifest of a prepared folder; {mend}") from error
    if version != FORMAT_VERSION:
        raise SeqRecError(
            f"{path}: prepared in format {version}, this seqrec reads {FORMAT_VERSION}; "
            "prepare again"
        )
    entries = {"files", "options", "counts", "catalog_fingerprint"}
    is_whole = entries <= manifest.keys() and all(
        {"rows", "sha256"} <= manifest["files"].get(name, {}).keys() for name in TABLES
    )
    if not is_whole:
        raise SeqRecError(f"{file}: entries are missing; {mend}")
    if manifest.get("sha256") != _own_sha256(manifest):
        raise SeqRecError(f"{file}: was edited since it was written; prepare again")
    return manifest


def _check_file(file: Path, expected: dict[str, Any]) -> None:
    try:
        found = sha256_of(file)
    except FileNotFoundError as error:
        raise SeqRecError(f"{file}: is missing from the prepared folder; prepare again") from error
    except OSError as error:
        raise SeqRecError(f"{file}: cannot be read: {error.strerror or error}") from error
    if found != expected["sha256"]:
        raise SeqRecError(f"{file}: was edited or cut short since it was prepared; prepare again")
    num_rows = pl.scan_parquet(file, glob=False).select(pl.len()).collect().item()
    if num_rows != expected["rows"]:
        raise SeqRecError(f"{file}: has {num_rows} rows, the manifest {expected['rows']}")
