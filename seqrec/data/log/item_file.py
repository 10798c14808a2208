"""A file of one's own that tells about items: titles, genres, plots, whatever its columns say."""

import csv
import io
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from seqrec.data.log.columns import USUAL_NAMES, plain
from seqrec.data.log.formats import SUFFIXES, suffix_of
from seqrec.data.log.layout import open_bytes
from seqrec.data.log.sidecars import (
    GENRE_NAMES,
    TITLE_NAMES,
    as_text,
    read_atomic_items,
    with_genre_lists,
)
from seqrec.data.log.sources import READ_ERRORS, Log, frame_of, sha256_of
from seqrec.errors import SeqRecError

DELIMITERS = ",\t;|"
"""Of a file of items; the header tells which."""
ID_NAMES = [*(name for name in USUAL_NAMES["item"] if name != "title"), "id"]
KNOWN = "\0known"
"""Ends names of columns that the log's own files tell, while a file is joined to them."""
CUT_SHORT = (EOFError, zlib.error)
"""What a compressed file raises that is."""


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
    """The items of a CSV file with a header, a Parquet, NDJSON or RecBole file, or a frame.

    Blank rows are passed over; of rows with one id the first counts.

    Args:
        source: a path, or a polars, pandas or Arrow frame.
        item: the column of the ids; one of the usual names if it has none of that name.

    Raises:
        SeqRecError: a file that is missing or cannot be read, no column of ids, or rows without.
    """
    path = Path(source) if isinstance(source, str | Path) else None
    name = name_of(path)
    try:
        table = _read(path, item) if path else frame_of(source).collect()
    except FileNotFoundError as error:
        raise SeqRecError(f"{name}: no such file") from error
    except (*READ_ERRORS, *CUT_SHORT) as error:
        reason = " ".join(str(error).split("\n")[0].split())
        raise SeqRecError(f"{name}: cannot be read: {reason}") from error
    column = _column_of_ids(name, table.columns, item)
    table = table.filter(~pl.all_horizontal(pl.all().is_null()))
    dtype = table[column].dtype
    if not (dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum)):
        raise SeqRecError(f"{name}: column {column!r} holds {dtype}, not ids")
    table = table.with_columns(cs.categorical().cast(pl.String), cs.enum().cast(pl.String))
    table = table.cast({column: pl.String})
    num_missing = int((table[column].fill_null("").str.strip_chars() == "").sum())
    if num_missing:
        raise SeqRecError(f"{name}: {num_missing:,} rows have no id (column {column!r})")
    others = [other for other in table.columns if other != column]
    table = table.select(pl.col(column).alias("item_id"), *(o for o in others if o != "item_id"))
    return ItemFile(
        _with_usual_columns(table.unique("item_id", keep="first", maintain_order=True)), path
    )


def told_by(log: Log, items: ItemFile) -> Log:
    """The log with what a file tells of items; where it is silent, what is known already stays."""
    table = items.table
    if log.items is not None:
        known = log.items.cast({"item_id": pl.String}).unique("item_id", keep="first")
        types = table.schema
        told = table.join(
            known, on="item_id", how="full", coalesce=True, suffix=KNOWN, maintain_order="left"
        )
        both = [name for name in known.columns if name != "item_id" and name in types]
        told = told.with_columns(
            pl.coalesce(name, f"{name}{KNOWN}") if known.schema[name] == types[name] else name
            for name in both
        )
        table = told.drop(f"{name}{KNOWN}" for name in both)
    files = log.files
    if items.path is not None:
        name = items.path.name if items.path.name not in files else str(items.path)
        files = files | {name: sha256_of(items.path)}
    return replace(log, items=table, files=files)


def check_tells(items: ItemFile, item_ids: pl.Series) -> None:
    """Refuse a file that tells of no item of the log: its ids are likely in another column."""
    if not items.table["item_id"].is_in(item_ids.implode()).any():
        raise SeqRecError(
            f"{items.name}: tells of no item of the log: its first id is "
            f"{items.table['item_id'].head(1).to_list()}, the log's {item_ids.head(1).to_list()}; "
            "call its column of ids item_id, or as the log calls its own"
        )


def _read(path: Path, item: str | None) -> pl.DataFrame:
    kind = SUFFIXES.get(suffix_of(path), "csv")
    if kind == "parquet":
        return pl.read_parquet(path, glob=False)
    if suffix_of(path) == ".item":
        return read_atomic_items(path)
    with open_bytes(path) as file:
        content = file.read()
    if kind == "ndjson":
        return pl.read_ndjson(content, infer_schema_length=None)
    text = as_text(content).lstrip("\n")
    if not text.strip():
        raise SeqRecError(f"{path}: is empty; its first line names the columns")
    header = text.partition("\n")[0]
    fields = {one: next(csv.reader([header], delimiter=one)) for one in DELIMITERS}
    whole = [one for one in DELIMITERS if not any('"' in name for name in fields[one])]
    delimiter = max(whole or DELIMITERS, key=lambda one: len(fields[one]))
    names = [name.strip() for name in fields[delimiter]]
    if twice := [name for name in names if names.count(name) > 1]:
        raise SeqRecError(f"{path}: line 1: column {twice[0]!r} stands twice")
    return pl.read_csv(
        io.BytesIO(text.encode()),
        separator=delimiter,
        infer_schema_length=None,
        new_columns=names,
        schema_overrides={_column_of_ids(str(path), names, item): pl.String},
    )


def _column_of_ids(name: str, columns: list[str], item: str | None) -> str:
    if item is not None and item in columns:
        return item
    by_plain_name = {plain(column): column for column in reversed(columns)}
    for usual in ID_NAMES:
        if usual in by_plain_name:
            return by_plain_name[usual]
    raise SeqRecError(
        f"{name}: no column looks like the item's; call one of {columns} item_id, or as the log "
        "calls its own"
    )


def _with_usual_columns(table: pl.DataFrame) -> pl.DataFrame:
    """With ``title`` and ``genres``, which are also there by the names that the file gives them."""
    by_plain_name = {plain(name): name for name in reversed(table.columns)}
    for column, usual in (("title", TITLE_NAMES), ("genres", GENRE_NAMES)):
        found = next((by_plain_name[name] for name in usual if name in by_plain_name), None)
        if found is not None and column not in table.columns:
            table = table.with_columns(pl.col(found).alias(column))
    return with_genre_lists(table)
