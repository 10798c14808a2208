"""Errors of the parsers as one ``SeqRecError`` line that names the file."""

import csv
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import pyarrow as pa

from seqrec.errors import SeqRecError

PARSER_ERRORS = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    pa.ArrowException,
    csv.Error,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
    lzma.LZMAError,
)
"""Errors of a missing, broken or foreign file while its bytes become rows."""


@contextmanager
def one_line_errors(name: str) -> Iterator[None]:
    """Turn every parser error of the block into a ``SeqRecError``.

    Args:
        name: the file, or what messages call the source.
    """
    try:
        yield
    except SeqRecError:
        raise
    except FileNotFoundError as error:
        raise SeqRecError(f"{name}: no such file") from error
    except csv.Error as error:
        raise SeqRecError(
            f"{name}: cannot be read as delimited text: {first_line(error)}; write it as CSV, "
            "Parquet or NDJSON"
        ) from error
    except PARSER_ERRORS as error:
        raise SeqRecError(f"{name}: cannot be read: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
