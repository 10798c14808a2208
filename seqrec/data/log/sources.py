"""Sources: a file, a folder or a frame as a ``Log`` of raw columns, read lazily."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from seqrec.data.checksums import file_sha256
from seqrec.data.log.column_guess import assign_columns, guess_columns
from seqrec.data.log.columns import Columns, FoundColumns
from seqrec.data.log.diagnostics import explain_read_error, locate_row
from seqrec.data.log.formats import (
    SUFFIXES,
    LogFile,
    cast_to_text,
    detect_format,
    format_suffix,
    scan,
)
from seqrec.data.log.frames import to_lazy_frame
from seqrec.data.log.layout import Layout, check_layout
from seqrec.data.log.sidecars import read_sidecars
from seqrec.data.log.text import first_lines
from seqrec.data.read_errors import PARSER_ERRORS, one_line_errors
from seqrec.errors import SeqRecError

FOLDER_LOGS = ("u.data", "ratings.dat", "ratings.csv", "ratings.csv.gz", "ratings.parquet")
"""Files that are a folder's log, whatever else the folder holds."""
SAMPLE_ROWS = 1000
"""First rows of a log, whose values show the columns."""
MOVIELENS_COLUMNS = ["user_id", "item_id", "rating", "timestamp"]


@dataclass(frozen=True)
class Log:
    """The raw columns of a source, with its items, users and checksums."""

    interactions: pl.LazyFrame
    """Raw columns in the order of the source; ids are text, other columns as in the source."""
    columns: Columns
    """The raw column of each role."""
    items: pl.DataFrame | None = None
    """``item_id`` and the known attributes: ``title``, ``genres`` (a list), ..."""
    users: pl.DataFrame | None = None
    """``user_id`` and the known attributes."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every file that was read, by name."""
    file: LogFile | None = None
    """The file of the interactions; None for a frame."""
    found_by: dict[str, str] = field(default_factory=dict)
    """How the column of each role was found: ``flag``, ``name``, ``values``, ``position``."""
    notes: tuple[str, ...] = ()
    """Sentences about columns that may have been meant as well."""

    @property
    def name(self) -> str:
        """The log's name in messages."""
        return str(self.file.path) if self.file else "the frame"

    @property
    def is_text(self) -> bool:
        """True if every raw column is text, numbers included."""
        return self.file is not None and self.file.format == "csv"

    def where(self, row: int) -> str:
        """Return the file and line, or the frame and row, of a row (0 is the first)."""
        return locate_row(self.file, row) if self.file else f"{self.name}: row {row + 1}"

    def collect(self) -> pl.DataFrame:
        """Return all interactions.

        Raises:
            SeqRecError: the source is broken; the message names the line.
        """
        with _located_errors(self.file):
            return self.interactions.collect(engine="streaming")


def read_source(source: Any, *, columns: Columns | None = None, format: str | None = None) -> Log:
    """Return the log of a path, or of a polars, pandas or Arrow frame.

    Args:
        source: a file, a folder that holds one log, or a frame.
        columns: names of columns that differ from the common ones.
        format: the file's format; detected from its suffix and first lines if absent.

    Raises:
        SeqRecError: a missing or unreadable file, a missing column.
    """
    requested = columns or Columns()
    if not isinstance(source, str | Path):
        frame = to_lazy_frame(source)
        with one_line_errors("the frame"):
            sample = frame.head(SAMPLE_ROWS).collect()
        found = guess_columns("the frame", sample, requested)
        log = _with_text_ids(frame, found.columns)
        return Log(log, found.columns, found_by=found.found_by, notes=found.notes)
    path = find_log(Path(source))
    with one_line_errors(str(path)):
        file = _detect_file(path, requested, format)
    with _located_errors(file):
        log = scan(file)
        found = _find_columns(file, log.head(SAMPLE_ROWS).collect(), requested)
        ids = [name for name in (found.columns.user, found.columns.item) if name]
        log = cast_to_text(file, log, ids)
    sidecars = read_sidecars(path)
    files = {part.name: file_sha256(part) for part in (path, *sidecars.paths)}
    return Log(
        log,
        found.columns,
        sidecars.items,
        sidecars.users,
        files,
        file,
        found.found_by,
        found.notes,
    )


def _find_columns(file: LogFile, sample: pl.DataFrame, requested: Columns) -> FoundColumns:
    if file.layout and file.layout.is_unnamed:
        return assign_columns(str(file.path), sample, requested)
    return guess_columns(str(file.path), sample, requested)


def find_log(path: Path) -> Path:
    """Return the log's file: the path itself, or the only log of a folder."""
    try:
        exists = path.exists()
    except OSError as error:
        raise SeqRecError(f"{path}: {error.strerror}; name a file or folder") from error
    if not exists:
        raise SeqRecError(f"{path}: no such file or folder")
    if not path.is_dir():
        return path
    for name in FOLDER_LOGS:
        if (path / name).is_file():
            return path / name
    logs = sorted(path.glob("*.inter")) or sorted(
        file
        for file in path.iterdir()
        if file.is_file()
        and format_suffix(file) in SUFFIXES
        and not file.name.startswith((".", "README"))
    )
    if len(logs) != 1:
        listed = ", ".join(file.name for file in logs[:5]) or "none"
        raise SeqRecError(f"{path}: the folder must hold one log, it has {listed}; name the file")
    return logs[0]


def _detect_file(path: Path, requested: Columns, format: str | None) -> LogFile:
    """Return the file with its format; names of MovieLens and RecBole files determine theirs."""
    if format is None and path.name in ("u.data", "ratings.dat"):
        delimiter = "\t" if path.name == "u.data" else "::"
        first_row = first_lines(path)[0].split(delimiter)
        return LogFile(path, "csv", Layout(delimiter, False, MOVIELENS_COLUMNS, first_row, False))
    if format is None and format_suffix(path) == ".inter":
        lines = [line.split("\t") for line in first_lines(path)[:2]]
        names = [name.partition(":")[0] for name in lines[0]]
        layout = Layout("\t", True, names, lines[-1], is_quoted=False)
        return LogFile(path, "csv", check_layout(path, layout))
    return detect_format(path, requested, format)


@contextmanager
def _located_errors(file: LogFile | None) -> Iterator[None]:
    """Turn parser errors into one ``SeqRecError`` line that names the file's faulty line."""
    if file is None:
        with one_line_errors("the frame"):
            yield
        return
    try:
        yield
    except PARSER_ERRORS as error:
        raise explain_read_error(file, error) from error


def _with_text_ids(frame: pl.LazyFrame, columns: Columns) -> pl.LazyFrame:
    file = LogFile(Path("the frame"), "parquet")
    ids = [name for name in (columns.user, columns.item) if name]
    return cast_to_text(file, frame, ids)
