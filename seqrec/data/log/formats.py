"""File formats of a log, each as a lazy frame of its raw columns."""

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from seqrec.data.log.columns import Columns
from seqrec.data.log.layout import Layout, is_number, sniff
from seqrec.data.log.text import count_leading_blank_lines, first_lines
from seqrec.data.log.times import looks_like_times
from seqrec.errors import SeqRecError

Format = Literal["csv", "parquet", "ndjson", "sequences"]
FORMATS: tuple[str, ...] = get_args(Format)
SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".dat": "csv",
    ".data": "csv",
    ".inter": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
}


@dataclass(frozen=True)
class LogFile:
    """A file and its format."""

    path: Path
    format: str
    layout: Layout | None = None
    """The layout of a delimited file; None for other formats."""


def format_suffix(path: Path) -> str:
    """Return the suffix that determines the format, for example ``.csv`` for ``log.CSV.gz``."""
    return (Path(path.stem) if path.suffix.lower() == ".gz" else path).suffix.lower()


def detect_format(path: Path, requested: Columns, format: str | None) -> LogFile:
    """Return the file with the requested format, or the one of its suffix and first lines."""
    if format is not None and format not in FORMATS:
        raise SeqRecError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    detected = format or SUFFIXES.get(format_suffix(path), "csv")
    if detected != "csv":
        return LogFile(path, detected)
    layout = sniff(path, requested.by_role().values())
    if format is None and layout.delimiter == " " and not layout.has_header:
        if not looks_like_ratings(path):
            return LogFile(path, "sequences")
    return LogFile(path, "csv", layout)


def looks_like_ratings(path: Path) -> bool:
    """Return True if every line holds four words like ``u.data``, the last of them a time."""
    rows = [line.split() for line in first_lines(path)]
    if any(len(row) != 4 or not is_number(row[3]) for row in rows):
        return False
    thirds, fourths = (pl.Series([row[index] for row in rows]) for index in (2, 3))
    return looks_like_times(fourths) and not looks_like_times(thirds)


def scan(file: LogFile) -> pl.LazyFrame:
    """Return the raw columns of a file; those of delimited text are all text."""
    if file.format == "parquet":
        return pl.scan_parquet(file.path, glob=False)
    if file.format == "ndjson":
        return _scan_ndjson(file.path)
    if file.format == "sequences":
        return _scan_sequences(file.path)
    assert file.layout is not None
    if len(file.layout.delimiter) > 1:
        return _scan_long_delimiter(file.path, file.layout)
    return pl.scan_csv(
        file.path,
        has_header=False,
        skip_lines=count_leading_blank_lines(file.path) + file.layout.has_header,
        separator=file.layout.delimiter,
        quote_char='"' if file.layout.is_quoted else None,
        schema=dict.fromkeys(file.layout.names, pl.String),
        glob=False,
    )


def _scan_ndjson(path: Path) -> pl.LazyFrame:
    """Read one JSON object a line; every column has the type that holds all lines."""
    if first_lines(path)[0].lstrip().startswith("["):
        raise SeqRecError(f"{path}: line 1: a JSON array; write one object a line (NDJSON)")
    return pl.scan_ndjson(glob.escape(str(path)), infer_schema_length=None)


def cast_to_text(file: LogFile, log: pl.LazyFrame, names: list[str]) -> pl.LazyFrame:
    """Return the log with these columns as text, large integers as written in the file."""
    schema = log.collect_schema()
    for name in names:
        if schema[name].is_nested() or schema[name] == pl.Object:
            raise SeqRecError(f"{file.path}: column {name!r} holds {schema[name]}, not ids")
    if file.format == "ndjson":
        types = {name: pl.String if name in names else dtype for name, dtype in schema.items()}
        return pl.scan_ndjson(glob.escape(str(file.path)), schema=types)
    return log.with_columns(pl.col(names).cast(pl.String))


def _scan_long_delimiter(path: Path, layout: Layout) -> pl.LazyFrame:
    """Read text with a delimiter of several characters, which no CSV reader supports."""
    lines = _scan_lines(path).slice(count_leading_blank_lines(path) + layout.has_header)
    fields = pl.col("line").str.splitn(layout.delimiter, len(layout.names))
    return lines.select(fields.struct.rename_fields(layout.names).alias("row")).unnest("row")


def _scan_sequences(path: Path) -> pl.LazyFrame:
    """Read one line a user: the user's id, then the item ids, oldest first."""
    words = _scan_lines(path).select(pl.col("line").str.extract_all(r"\S+"))
    alone = words.with_row_index("number").filter(pl.col("line").list.len() == 1)
    for number, word in alone.head(1).collect().iter_rows():
        raise SeqRecError(
            f"{path}: line {number + 1}: {word[0]!r} alone; each line is a user and their items; "
            "name another format with --format csv"
        )
    histories = words.filter(pl.col("line").list.len() > 1).select(
        user_id=pl.col("line").list.first(), item_id=pl.col("line").list.slice(1)
    )
    return histories.explode("item_id")


def _scan_lines(path: Path) -> pl.LazyFrame:
    """Read lines, without the byte order mark that some programs write first."""
    return pl.scan_lines(path, glob=False).with_columns(pl.col("line").str.strip_prefix("\ufeff"))
