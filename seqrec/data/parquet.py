"""Parquet tables: reading and writing, with errors in one line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa

from seqrec.data.read_errors import PARSER_ERRORS
from seqrec.errors import SeqRecError
from seqrec.files import check_regular


def read_parquet(file: Path) -> pl.DataFrame:
    """Return a table; a missing, broken or foreign file raises a ``SeqRecError``."""
    try:
        if file.exists():
            check_regular(file, "name a Parquet file")
        return pl.read_parquet(file, glob=False)
    except FileNotFoundError as error:
        raise SeqRecError(f"{file}: no such file") from error
    except (*PARSER_ERRORS, MemoryError, ValueError, OverflowError) as error:
        raise SeqRecError(f"{file}: not a Parquet file, or cut short") from error


def write_parquet(table: pl.DataFrame, file: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write a table.

    Args:
        table: the rows.
        file: the path.
        notes: keys and values of the schema's metadata.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
    """
    with write_errors_as_os_error(file):
        table.write_parquet(file, metadata=None if notes is None else dict(notes))


@contextmanager
def write_errors_as_os_error(file: Path) -> Iterator[None]:
    """Raise an ``OSError`` for every error of polars or Arrow while a file is written."""
    try:
        yield
    except (pl.exceptions.PolarsError, pa.ArrowException) as error:
        raise OSError(f"{file.name}: {' '.join(str(error).split())}") from error
