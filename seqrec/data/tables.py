"""Tables of ids as Parquet, CSV or NDJSON files, named by their suffix."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from seqrec.data.log.frames import to_lazy_frame
from seqrec.data.parquet import read_parquet, write_errors_as_os_error, write_parquet
from seqrec.data.read_errors import one_line_errors
from seqrec.errors import SeqRecError
from seqrec.files import check_no_stream

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}
DELIMITERS = ",\t;|"
WHOLE_FLOAT = r"^(-?\d+)\.0$"


def is_frame(value: Any) -> bool:
    """Test whether a value is a polars, pandas or Arrow frame, or another table with columns."""
    return any(hasattr(type(value), name) for name in ("columns", "column_names"))


def check_table_file(file: Path, option: str) -> str:
    """Return the format that the suffix of a file to be written names.

    Raises:
        SeqRecError: a suffix without a format.
    """
    if file.suffix.lower() not in FORMATS:
        raise SeqRecError(
            f"{option} {file}: its suffix names no format; name a .parquet, .csv or .ndjson file"
        )
    return FORMATS[file.suffix.lower()]


def write_table(
    table: pl.DataFrame, file: Path, format: str, notes: Mapping[str, str] | None = None
) -> None:
    """Write a table; lists are JSON in the cells of CSV.

    Args:
        table: the rows.
        file: the path.
        format: of ``check_table_file``.
        notes: metadata, which only Parquet holds.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
    """
    if format == "parquet":
        write_parquet(table, file, notes)
        return
    with write_errors_as_os_error(file):
        if format == "ndjson":
            table.write_ndjson(file)
        else:
            cells = table.with_columns(_to_cells(column) for column in table)
            cells.write_csv(file, separator="\t" if format == "tsv" else ",")


def read_table(source: Any, name: str) -> pl.DataFrame:
    """Return the rows of a Parquet, CSV or NDJSON file, or of a frame; cells of CSV are text.

    Args:
        source: a path or a frame; a file with another suffix is read as Parquet.
        name: the table's name in messages.

    Raises:
        SeqRecError: a missing or broken file.
    """
    if is_frame(source):
        with one_line_errors(name):
            return to_lazy_frame(source).collect()
    file = Path(source)
    kind = FORMATS.get(file.suffix.lower(), "parquet")
    if kind == "parquet":
        return read_parquet(file)
    with one_line_errors(name):
        check_no_stream(file)
        content = file.read_bytes()
        if not content.strip():
            raise SeqRecError(f"{name}: is empty")
        if kind == "ndjson":
            return pl.read_ndjson(content, infer_schema_length=None)
        header = content.split(b"\n", 1)[0].decode("utf-8-sig", "replace")
        fields = {one: next(csv.reader([header], delimiter=one)) for one in DELIMITERS}
        delimiter = max(DELIMITERS, key=lambda one: len(fields[one]))
        return pl.read_csv(content, separator=delimiter, infer_schema=False)


def to_id_texts(ids: pl.Series) -> pl.Series:
    """Return ids as text; a whole float as the integer that it is."""
    text = ids.cast(pl.String)
    return text.str.replace(WHOLE_FLOAT, "$1") if ids.dtype.is_float() else text


def parse_numbers(table: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the table with numbers in text columns; other text becomes NaN."""
    texts = [name for name in columns if name in table.columns and table[name].dtype == pl.String]
    return table.with_columns(
        pl.when(pl.col(name).is_not_null()).then(
            pl.col(name).str.strip_chars().cast(pl.Float64, strict=False).fill_null(float("nan"))
        )
        for name in texts
    )


def _to_cells(column: pl.Series) -> pl.Series:
    """Return a column of lists as JSON texts, and any other unchanged.

    A text that starts as JSON lists do is written as a list of one.
    """
    if column.dtype.is_nested():
        cells = column.to_list()
        texts = [None if cell is None else json.dumps(cell, ensure_ascii=False) for cell in cells]
        return pl.Series(column.name, texts, dtype=pl.String)
    if column.name == "chosen":
        looks_like_list = column.str.starts_with("[").fill_null(False)
        cells = [json.dumps([cell], ensure_ascii=False) for cell in column.to_list()]
        return pl.Series(column.name, cells).zip_with(looks_like_list, column)
    return column
