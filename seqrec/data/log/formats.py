"""File formats of a log, each as a lazy frame of its raw columns."""

import glob
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import polars as pl
import pyarrow as pa

from seqrec.data.log.compression import SUFFIXES_OF_COMPRESSION, open_bytes
from seqrec.data.log.layout import Layout, is_number, sniff
from seqrec.data.log.readable import remove_mark, split_array
from seqrec.data.log.signatures import find_binary_format
from seqrec.data.log.source_files import SourceFile
from seqrec.data.log.text import count_leading_blank_lines, first_lines
from seqrec.data.log.times import looks_like_times
from seqrec.errors import SeqRecError

Format = Literal["csv", "parquet", "arrow", "ndjson", "sequences"]
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
    ".feather": "arrow",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
}


ARROW_FILE = b"ARROW1"
MAGIC_BYTES = 16
BINARY_FORMATS = {"parquet": "a Parquet", "arrow": "an Arrow (Feather)"}
"""Formats whose bytes are no text, and their names with an article."""


@dataclass(frozen=True)
class LogFile:
    """A file of a log and its format."""

    source: SourceFile
    format: str
    layout: Layout | None = None
    """The layout of a delimited file; None for other formats."""


def format_suffix(path: Path) -> str:
    """Return the suffix that shows the format, for example ``.csv`` for ``log.CSV.gz``."""
    is_compressed = path.suffix.lower() in SUFFIXES_OF_COMPRESSION
    return (Path(path.stem) if is_compressed else path).suffix.lower()


def detect_format(source: SourceFile, given_names: Collection[str], format: str | None) -> LogFile:
    """Return the file with the requested format, or the one of its bytes, suffix and lines.

    Args:
        source: a readable file.
        given_names: column names from the user; a first line that holds one is a header.
        format: the format; None to detect it.

    Raises:
        SeqRecError: an unknown format, a binary file of another format than the requested one.
    """
    if format is not None and format not in FORMATS:
        raise SeqRecError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    with open_bytes(source.path, source.name) as content:
        binary = find_binary_format(content.read(MAGIC_BYTES))
    if binary and format not in (None, binary):
        raise SeqRecError(
            f"{source}: is {BINARY_FORMATS[binary]} file; leave out --format {format}"
        )
    detected = binary or format or SUFFIXES.get(format_suffix(Path(source.file_name)), "csv")
    if detected == "csv" and format is None and _starts_with_object(first_lines(source)[0]):
        detected = "ndjson"
    if detected == "ndjson":
        if first_lines(source)[0].lstrip().startswith("["):
            source = split_array(source)
        return LogFile(remove_mark(source), detected)
    if detected != "csv":
        return LogFile(source, detected)
    layout = sniff(source, given_names)
    if format is None and layout.delimiter == " " and not layout.has_header:
        if not looks_like_ratings(source):
            return LogFile(source, "sequences")
    if format is None and layout.is_unnamed and _lists_items(source, layout):
        return LogFile(source, "sequences")
    return LogFile(source, "csv", layout)


def _lists_items(source: SourceFile, layout: Layout) -> bool:
    """Return True if each line is a user, a tab, and numbers between spaces."""
    if layout.delimiter != "\t" or len(layout.names) != 2:
        return False
    items = [line.partition("\t")[2].split() for line in first_lines(source)]
    return max(map(len, items)) > 1 and all(all(map(is_number, words)) for words in items)


def _starts_with_object(line: str) -> bool:
    """Return True if a line is a JSON object with names, or begins an array of objects."""
    if re.match(r'\s*\[\s*(\{\s*"|$)', line):
        return True
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def looks_like_ratings(source: SourceFile) -> bool:
    """Return True if every line holds four words like ``u.data``, the last of them a time."""
    rows = [line.split() for line in first_lines(source)]
    if any(len(row) != 4 or not is_number(row[3]) for row in rows):
        return False
    thirds, fourths = (pl.Series([row[index] for row in rows]) for index in (2, 3))
    return looks_like_times(fourths) and not looks_like_times(thirds)


def scan(file: LogFile) -> pl.LazyFrame:
    """Return the raw columns of a file; those of delimited text are all text."""
    path = file.source.path
    if file.format == "parquet":
        return pl.scan_parquet(path, glob=False)
    if file.format == "arrow":
        return _scan_arrow(path)
    if file.format == "ndjson":
        return pl.scan_ndjson(glob.escape(str(path)), infer_schema_length=None)
    if file.format == "sequences":
        return _scan_sequences(file.source)
    assert file.layout is not None
    if len(file.layout.delimiter) > 1:
        return _scan_long_delimiter(file.source, file.layout)
    return pl.scan_csv(
        path,
        has_header=False,
        skip_lines=count_leading_blank_lines(file.source) + file.layout.has_header,
        separator=file.layout.delimiter,
        quote_char='"' if file.layout.is_quoted else None,
        schema=dict.fromkeys(file.layout.names, pl.String),
        glob=False,
    )


def _scan_arrow(path: Path) -> pl.LazyFrame:
    """Read an Arrow file or stream, every buffer checked: polars trusts what it maps."""
    with pa.memory_map(str(path)) as content:
        is_file = content.read(len(ARROW_FILE)) == ARROW_FILE
        content.seek(0)
        reader = pa.ipc.open_file(content) if is_file else pa.ipc.open_stream(content)
        table = reader.read_all()
    table.validate(full=True)
    return pl.DataFrame(table).lazy()


def cast_to_text(file: LogFile, log: pl.LazyFrame, names: list[str]) -> pl.LazyFrame:
    """Return the log with these columns as text, large integers as written in the file."""
    if file.format != "ndjson":
        return cast_frame_to_text(str(file.source), log, names)
    schema = log.collect_schema()
    _check_id_types(str(file.source), schema, names)
    types = {name: pl.String if name in names else dtype for name, dtype in schema.items()}
    return pl.scan_ndjson(glob.escape(str(file.source.path)), schema=types)


def cast_frame_to_text(name: str, log: pl.LazyFrame, names: list[str]) -> pl.LazyFrame:
    """Return the log with these columns as text."""
    _check_id_types(name, log.collect_schema(), names)
    return log.with_columns(pl.col(names).cast(pl.String))


def _check_id_types(log: str, schema: pl.Schema, names: list[str]) -> None:
    for name in names:
        if schema[name].is_nested() or schema[name] == pl.Object:
            raise SeqRecError(f"{log}: column {name!r} holds {schema[name]}, not ids")


def _scan_long_delimiter(source: SourceFile, layout: Layout) -> pl.LazyFrame:
    """Read text with a delimiter of several characters, which no CSV reader supports."""
    lines = _scan_lines(source)
    count = pl.col("line").str.count_matches(layout.delimiter, literal=True) + 1
    numbered = lines.select(count.alias("count")).with_row_index("number")
    long = numbered.filter(pl.col("count") > len(layout.names)).head(1)
    for number, width in long.collect(engine="streaming").iter_rows():
        raise SeqRecError(
            f"{source}: line {number + 1}: {width} fields where the first line has "
            f"{len(layout.names)}"
        )
    lines = lines.slice(count_leading_blank_lines(source) + layout.has_header)
    fields = pl.col("line").str.splitn(layout.delimiter, len(layout.names))
    return lines.select(fields.struct.rename_fields(layout.names).alias("row")).unnest("row")


def _scan_sequences(source: SourceFile) -> pl.LazyFrame:
    """Read one line a user: the user's id, then the item ids, oldest first."""
    words = _scan_lines(source).select(pl.col("line").str.extract_all(r"\S+"))
    alone = words.with_row_index("number").filter(pl.col("line").list.len() == 1)
    for number, word in alone.head(1).collect().iter_rows():
        raise SeqRecError(
            f"{source}: line {number + 1}: {word[0]!r} alone; each line is a user and their items; "
            "name another format with --format csv"
        )
    histories = words.filter(pl.col("line").list.len() > 1).select(
        user_id=pl.col("line").list.first(), item_id=pl.col("line").list.slice(1)
    )
    return histories.explode("item_id")


def _scan_lines(source: SourceFile) -> pl.LazyFrame:
    """Read lines, without the byte order mark that some programs write first."""
    return pl.scan_lines(source.path, glob=False).with_columns(
        pl.col("line").str.strip_prefix("\ufeff")
    )
