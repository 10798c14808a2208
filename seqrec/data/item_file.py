"""A file of one's own that tells about items: titles, genres, plots, whatever its columns say."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from seqrec.data.columns import USUAL_NAMES, plain
from seqrec.data.companions import with_usual_columns
from seqrec.data.formats import SUFFIXES, suffix_of
from seqrec.data.layout import first_lines
from seqrec.data.sources import Log, frame_of, sha256_of
from seqrec.errors import SeqRecError

DELIMITERS = ",\t;|"
"""Of a file of items; the header tells which."""


@dataclass(frozen=True)
class ItemFile:
    """What is known of items, and where that stood."""

    table: pl.DataFrame
    """``item_id`` (text), ``title`` and ``genres`` (a list) if they are told, and the others."""
    path: Path | None
    """None for a frame."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return name_of(self.path)


def name_of(path: Path | None) -> str:
    """What messages call a file, or a frame."""
    return str(path) if path else "the frame of items"


def read_item_file(source: Any, item: str | None = None) -> ItemFile:
    """The items of a CSV file with a header, a Parquet or NDJSON file, or a frame.

    Of rows with one id the first counts.

    Args:
        source: a path, or a polars, pandas or Arrow frame.
        item: the column of the ids; one of the usual names if it has none of that name.

    Raises:
        SeqRecError: a file that is missing or cannot be read, no column of ids, or rows without.
    """
    path = Path(source) if isinstance(source, str | Path) else None
    name = name_of(path)
    try:
        table = _read(path) if path else frame_of(source).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SeqRecError(f"{name}: cannot be read: {reason}") from error
    column = _column_of_ids(name, table.columns, item)
    dtype = table[column].dtype
    if dtype.is_nested() or dtype.is_float():
        raise SeqRecError(f"{name}: column {column!r} holds {dtype}, not ids")
    if num_missing := table[column].null_count():
        raise SeqRecError(f"{name}: {num_missing:,} rows have no id (column {column!r})")
    if column != "item_id" and "item_id" in table.columns:
        table = table.rename({"item_id": "item_id_in_file"})
    table = table.rename({column: "item_id"}).cast({"item_id": pl.String})
    table = with_usual_columns(table.unique("item_id", keep="first", maintain_order=True))
    return ItemFile(table, path)


def told_by(log: Log, items: ItemFile) -> Log:
    """The log with what a file tells of items; columns that it lacks stay as they were known."""
    table = items.table
    if log.items is not None:
        names = [name for name in log.items.columns if name not in table.columns]
        known = log.items.cast({"item_id": pl.String}).unique("item_id", keep="first")
        known = known.select("item_id", *names)
        table = table.join(known, on="item_id", how="full", coalesce=True, maintain_order="left")
    files = (
        log.files if items.path is None else log.files | {items.path.name: sha256_of(items.path)}
    )
    return replace(log, items=table, files=files)


def check_tells(items: ItemFile, item_ids: pl.Series) -> None:
    """Refuse a file that tells of no item of the log: its ids are likely in another column."""
    if not items.table["item_id"].is_in(item_ids.implode()).any():
        raise SeqRecError(
            f"{items.name}: tells of no item of the log: its first id is "
            f"{items.table['item_id'].head(1).to_list()}, the log's {item_ids.head(1).to_list()}; "
            "call its column of ids item_id, or as the log calls its own"
        )


def _read(path: Path) -> pl.DataFrame:
    header = first_lines(path)[0]
    found = SUFFIXES.get(suffix_of(path), "csv")
    if found == "parquet":
        return pl.read_parquet(path, glob=False)
    if found == "ndjson":
        return pl.read_ndjson(path, infer_schema_length=None)
    delimiter = max(DELIMITERS, key=header.count)
    names = [name.strip().strip('"') for name in header.split(delimiter)]
    ids = [name for name in names if plain(name) in USUAL_NAMES["item"]]
    return pl.read_csv(
        path,
        separator=delimiter,
        infer_schema_length=None,
        schema_overrides=dict.fromkeys(ids, pl.String),
        glob=False,
    )


def _column_of_ids(name: str, columns: list[str], item: str | None) -> str:
    if item is not None and item in columns:
        return item
    by_plain_name = {plain(column): column for column in reversed(columns)}
    for usual in USUAL_NAMES["item"]:
        if usual in by_plain_name:
            return by_plain_name[usual]
    raise SeqRecError(
        f"{name}: no column looks like the item's; call one of {columns} item_id, or as the log "
        "calls its own"
    )
