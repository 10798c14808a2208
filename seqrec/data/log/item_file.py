"""A user's own file of item attributes: titles, genres, plots, and any other columns."""

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from seqrec.data.checksums import file_sha256
from seqrec.data.log.column_names import COMMON_NAMES, simplify_name
from seqrec.data.log.compression import open_bytes
from seqrec.data.log.formats import (
    BINARY_FORMATS,
    MAGIC_BYTES,
    SUFFIXES,
    LogFile,
    format_suffix,
    scan,
)
from seqrec.data.log.frames import to_lazy_frame
from seqrec.data.log.ids import tidy_ids
from seqrec.data.log.readable import make_readable, split_array
from seqrec.data.log.sidecars import (
    GENRE_NAMES,
    TITLE_NAMES,
    read_atomic_items,
    with_genre_lists,
)
from seqrec.data.log.signatures import find_binary_format
from seqrec.data.log.source_files import local_file
from seqrec.data.log.sources import Log
from seqrec.data.log.text import read_text
from seqrec.data.read_errors import one_line_errors
from seqrec.errors import SeqRecError
from seqrec.files import check_regular

DELIMITERS = ",\t;|"
"""Delimiters that a file of items may have; its header decides."""
ID_NAMES = [*(name for name in COMMON_NAMES["item"] if name != "title"), "id"]
KNOWN = "\0known"
"""Suffix of the columns from the log's sidecar files while a file is joined to them."""


@dataclass(frozen=True)
class ItemFile:
    """The attributes of items, and the file that holds them."""

    table: pl.DataFrame
    """``item_id`` (text), ``title`` and ``genres`` (a list) if known, and all other columns."""
    path: Path | None
    """None for a frame."""

    @property
    def name(self) -> str:
        """The file's name in messages."""
        return _display_name(self.path)


def read_item_file(source: Any, item: str | None = None, *, verbatim_ids: bool = False) -> ItemFile:
    """Return the items of a CSV file with a header, a Parquet, NDJSON or RecBole file, or a frame.

    Blank rows are skipped; the first row of each id counts.

    Args:
        source: a path, or a polars, pandas or Arrow frame.
        item: the column of the ids; a column with a common name if there is none of that name.
        verbatim_ids: keep ids as they are; else they are brought into the form of a log's ids.

    Raises:
        SeqRecError: a missing or unreadable file, no column of ids, a row without an id.
    """
    path = Path(source) if isinstance(source, str | Path) else None
    name = _display_name(path)
    with one_line_errors(name):
        table = _read(path, item) if path else to_lazy_frame(source).collect()
    column = _column_of_ids(name, table.columns, item)
    table = table.filter(~pl.all_horizontal(pl.all().is_null()))
    dtype = table[column].dtype
    is_whole = dtype.is_float() and bool((table[column] % 1 == 0).all()) and not verbatim_ids
    if not (dtype.is_integer() or is_whole or dtype in (pl.String, pl.Categorical, pl.Enum)):
        raise SeqRecError(f"{name}: column {column!r} holds {dtype}, not ids")
    table = table.with_columns(cs.categorical().cast(pl.String), cs.enum().cast(pl.String))
    table = table.cast({column: pl.String})
    if not verbatim_ids:
        tidy = tidy_ids(table[column], f"{name}: column {column!r}")
        table = table.with_columns(tidy.ids.alias(column))
    num_missing = int((table[column].fill_null("").str.strip_chars() == "").sum())
    if num_missing:
        raise SeqRecError(f"{name}: {num_missing:,} rows have no id (column {column!r})")
    others = [other for other in table.columns if other != column]
    table = table.select(pl.col(column).alias("item_id"), *(o for o in others if o != "item_id"))
    return ItemFile(
        _with_usual_columns(table.unique("item_id", keep="first", maintain_order=True)), path
    )


def add_items(log: Log, items: ItemFile) -> Log:
    """Return the log with a file's attributes; the log's own fill the cells left empty."""
    table = items.table
    if log.items is not None:
        known = log.items.cast({"item_id": pl.String}).unique("item_id", keep="first")
        types = table.schema
        joined = table.join(
            known, on="item_id", how="full", coalesce=True, suffix=KNOWN, maintain_order="left"
        )
        both = [name for name in known.columns if name != "item_id" and name in types]
        joined = joined.with_columns(
            pl.coalesce(name, f"{name}{KNOWN}") if known.schema[name] == types[name] else name
            for name in both
        )
        table = joined.drop(f"{name}{KNOWN}" for name in both)
    files = log.files
    if items.path is not None:
        name = items.path.name if items.path.name not in files else str(items.path)
        files = files | {name: file_sha256(items.path)}
    return replace(log, items=table, files=files)


def check_known_items(items: ItemFile, item_ids: pl.Series) -> None:
    """Refuse a file without an item of the log: its ids are likely in another column."""
    if not items.table["item_id"].is_in(item_ids.implode()).any():
        raise SeqRecError(
            f"{items.name}: holds no item of the log: its first id is "
            f"{items.table['item_id'].head(1).to_list()}, the log's {item_ids.head(1).to_list()}; "
            "call its column of ids item_id, or as the log calls its own"
        )


def _display_name(path: Path | None) -> str:
    return str(path) if path else "the frame of items"


def _read(path: Path, item: str | None) -> pl.DataFrame:
    if path.exists():
        check_regular(path, "name a file of items")
    if format_suffix(path) == ".item":
        return read_atomic_items(path)
    source = make_readable(local_file(path))
    with open_bytes(source.path, source.name) as content:
        binary = find_binary_format(content.read(MAGIC_BYTES))
    kind = binary or SUFFIXES.get(format_suffix(path), "csv")
    if kind in BINARY_FORMATS:
        return scan(LogFile(source, kind)).collect()
    text = read_text(source.path).lstrip("\n")
    if kind == "ndjson":
        if text.lstrip().startswith("["):
            text = read_text(split_array(source).path)
        return pl.read_ndjson(text.encode(), infer_schema_length=None)
    if not text.strip():
        raise SeqRecError(f"{path}: is empty; its first line names the columns")
    header = text.partition("\n")[0]
    fields = {one: next(csv.reader([header], delimiter=one)) for one in DELIMITERS}
    unbroken = [one for one in DELIMITERS if not any('"' in name for name in fields[one])]
    delimiter = max(unbroken or DELIMITERS, key=lambda one: len(fields[one]))
    names = [name.strip() for name in fields[delimiter]]
    if duplicates := [name for name in names if names.count(name) > 1]:
        raise SeqRecError(f"{path}: line 1: column {duplicates[0]!r} occurs twice; rename one")
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
    by_plain_name = {simplify_name(column): column for column in reversed(columns)}
    for usual in ID_NAMES:
        if usual in by_plain_name:
            return by_plain_name[usual]
    raise SeqRecError(
        f"{name}: no column looks like the item's; call one of {columns} item_id, or as the log "
        "calls its own"
    )


def _with_usual_columns(table: pl.DataFrame) -> pl.DataFrame:
    """Add ``title`` and ``genres``, copies of the columns with a common name of theirs."""
    by_plain_name = {simplify_name(name): name for name in reversed(table.columns)}
    for column, usual in (("title", TITLE_NAMES), ("genres", GENRE_NAMES)):
        name = next((by_plain_name[name] for name in usual if name in by_plain_name), None)
        if name is not None and column not in table.columns:
            table = table.with_columns(pl.col(name).alias(column))
    return with_genre_lists(table)
