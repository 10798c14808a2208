"""Sources: a file, a folder or a frame, read into a ``Log`` of raw columns, lazily."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from seqrec.data.log.columns import Columns, guess_columns, place_columns
from seqrec.data.log.diagnostics import explain, line_of
from seqrec.data.log.formats import SUFFIXES, LogFile, as_text, recognise, scan, suffix_of
from seqrec.data.log.layout import Layout, checked, first_lines
from seqrec.data.log.sidecars import companions_of
from seqrec.errors import SeqRecError

FOLDER_LOGS = ("u.data", "ratings.dat", "ratings.csv", "ratings.csv.gz", "ratings.parquet")
"""Logs that are known by name, whatever else lies beside them."""
MOVIELENS_COLUMNS = ["user_id", "item_id", "rating", "timestamp"]
READ_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


@dataclass(frozen=True)
class Log:
    """A log as it was found."""

    interactions: pl.LazyFrame
    """Raw columns in the order of the source; ids as text, everything else as found."""
    columns: Columns
    """Which raw column is which."""
    items: pl.DataFrame | None = None
    """``item_id``, and what is known: ``title``, ``genres`` (a list), ..."""
    users: pl.DataFrame | None = None
    """``user_id``, and what is known."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every file that was read, by name."""
    file: LogFile | None = None
    """The file of the interactions; None for a frame."""

    @property
    def name(self) -> str:
        """What messages call the log."""
        return str(self.file.path) if self.file else "the frame"

    @property
    def is_text(self) -> bool:
        """Whether every raw column is text, numbers included."""
        return self.file is not None and self.file.format == "csv"

    def where(self, row: int) -> str:
        """The file and line, or the frame and row, of a row (0 is the first)."""
        return line_of(self.file, row) if self.file else f"{self.name}: row {row + 1}"

    def collect(self) -> pl.DataFrame:
        """All interactions.

        Raises:
            SeqRecError: the source is broken; the message says where.
        """
        return _told(self.file, lambda: self.interactions.collect(engine="streaming"))


def read_source(source: Any, *, columns: Columns | None = None, format: str | None = None) -> Log:
    """The log of a path, or of a polars, pandas or Arrow frame.

    Args:
        source: a file, a folder that holds one log, or a frame.
        columns: names of columns, where the usual ones are not right.
        format: the file's format, if its name and first lines do not tell.

    Raises:
        SeqRecError: missing or unreadable files, columns that are not there.
    """
    asked = columns or Columns()
    if not isinstance(source, str | Path):
        frame = frame_of(source)
        names = frame.collect_schema().names()
        found = guess_columns("the frame", names, asked)
        return Log(_with_text_ids(frame, found), found)
    path = find_log(Path(source))
    file = _recognise(path, asked, format)
    log = _told(file, lambda: scan(file))
    names = _told(file, lambda: log.collect_schema().names())
    if file.layout and file.layout.is_unnamed:
        found = place_columns(str(path), names, asked, file.layout.first_row)
    else:
        found = guess_columns(str(path), names, asked)
    ids = [name for name in (found.user, found.item) if name]
    log = _told(file, lambda: as_text(file, log, ids))
    known = companions_of(path)
    files = {part.name: sha256_of(part) for part in (path, *known.paths)}
    return Log(log, found, known.items, known.users, files, file)


def find_log(path: Path) -> Path:
    """The log's file: the path itself, or the one log of a folder."""
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
        and suffix_of(file) in SUFFIXES
        and not file.name.startswith((".", "README"))
    )
    if len(logs) != 1:
        listed = ", ".join(file.name for file in logs[:5]) or "none"
        raise SeqRecError(
            f"{path}: a folder with one log is needed, it has {listed}; name the file"
        )
    return logs[0]


def sha256_of(path: Path) -> str:
    """The checksum of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recognise(path: Path, asked: Columns, format: str | None) -> LogFile:
    """The file's format; MovieLens and RecBole files have theirs by name."""
    if format is None and path.name in ("u.data", "ratings.dat"):
        delimiter = "\t" if path.name == "u.data" else "::"
        first_row = first_lines(path)[0].split(delimiter)
        return LogFile(path, "csv", Layout(delimiter, False, MOVIELENS_COLUMNS, first_row, False))
    if format is None and suffix_of(path) == ".inter":
        lines = [line.split("\t") for line in first_lines(path)[:2]]
        names = [name.partition(":")[0] for name in lines[0]]
        layout = Layout("\t", True, names, lines[-1], is_quoted=False)
        return LogFile(path, "csv", checked(path, layout))
    return recognise(path, asked, format)


def _told(file: LogFile | None, read: Callable[[], Any]) -> Any:
    """What ``read`` returns; what it raises is told in one line."""
    try:
        return read()
    except READ_ERRORS as error:
        if file is None:
            raise SeqRecError(f"the frame: cannot be read: {str(error).splitlines()[0]}") from error
        raise explain(file, error) from error


def frame_of(source: Any) -> pl.LazyFrame:
    """A polars, pandas or Arrow frame as a lazy one.

    Raises:
        SeqRecError: something else.
    """
    if isinstance(source, pl.LazyFrame | pl.DataFrame):
        return source.lazy()
    if type(source).__module__.partition(".")[0] == "pandas":
        return _from_pandas(source).lazy()
    if isinstance(source, pa.Table | pa.RecordBatch) or hasattr(source, "__arrow_c_stream__"):
        return pl.DataFrame(source).lazy()
    raise SeqRecError(
        f"a {type(source).__name__} is no source: name a file or folder, or give a polars, "
        "pandas or Arrow frame"
    )


def _from_pandas(frame: Any) -> pl.DataFrame:
    """A pandas frame; columns of mixed objects become text."""
    try:
        return pl.from_pandas(frame)
    except (TypeError, ValueError, OverflowError, pa.ArrowException):
        frame = frame.copy()
        for name in frame.select_dtypes(object).columns:
            frame[name] = [None if _is_missing(value) else str(value) for value in frame[name]]
        return pl.from_pandas(frame)


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def _with_text_ids(frame: pl.LazyFrame, columns: Columns) -> pl.LazyFrame:
    file = LogFile(Path("the frame"), "parquet")
    ids = [name for name in (columns.user, columns.item) if name]
    return as_text(file, frame, ids)
