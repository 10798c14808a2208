"""Sources: a file, a folder or a frame as a ``Log`` of raw columns, read lazily."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from seqrec.data.checksums import file_sha256
from seqrec.data.log.column_guess import assign_columns, guess_columns
from seqrec.data.log.columns import Columns, FoundColumns
from seqrec.data.log.combination import name_files, open_files, scan_files
from seqrec.data.log.conditions import keep_rows
from seqrec.data.log.diagnostics import explain_read_error, locate_row
from seqrec.data.log.formats import LogFile, cast_frame_to_text, scan
from seqrec.data.log.frames import to_lazy_frame
from seqrec.data.log.nested import Transform, find_unfolding
from seqrec.data.log.parts import find_parts
from seqrec.data.log.sidecars import Sidecars, read_sidecars
from seqrec.data.read_errors import PARSER_ERRORS, one_line_errors
from seqrec.errors import SeqRecError

SAMPLE_ROWS = 1000
"""First rows of a log, whose values show the columns."""
ROW = "\0row"
"""The column that counts a source's own rows while one of its interactions is located."""


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
    parts: tuple[LogFile, ...] = ()
    """The files of the interactions, in the order of their rows; none for a frame."""
    found_by: dict[str, str] = field(default_factory=dict)
    """The evidence for the column of each role: ``flag``, ``name``, ``values``, ``position``."""
    notes: tuple[str, ...] = ()
    """Sentences about columns that may have been meant as well."""
    name: str = "the frame"
    """The log's name in messages."""
    source_rows: pl.LazyFrame | None = None
    """The row of the source behind each interaction, if they differ."""
    condition: str | None = None
    """The value of ``--where``."""
    num_rows_before: int = 0
    """Interactions before ``condition``, if there is one."""

    @property
    def is_text(self) -> bool:
        """True if every raw column is text, numbers included."""
        return bool(self.parts) and self.parts[0].format == "csv"

    def where(self, row: int) -> str:
        """Return the file and line, or the frame and row, of a row (0 is the first)."""
        if self.source_rows is not None:
            row = self.source_rows.slice(row, 1).collect().item()
        for part in self.parts[:-1]:
            num_rows = scan(part).select(pl.len()).collect().item()
            if row < num_rows:
                return locate_row(part, row)
            row -= num_rows
        return locate_row(self.parts[-1], row) if self.parts else f"{self.name}: row {row + 1}"

    def collect(self) -> pl.DataFrame:
        """Return all interactions.

        Raises:
            SeqRecError: the source is broken; the message names the line.
        """
        with _located_errors(self.parts, self.name):
            return self.interactions.collect(engine="streaming")


def read_source(
    source: Any,
    *,
    columns: Columns | None = None,
    format: str | None = None,
    where: str | None = None,
) -> Log:
    """Return the log of files, or of a polars, pandas or Arrow frame.

    Args:
        source: a file, a folder of one log's files, a pattern, a URL, a list of these, or a frame.
        columns: names of columns that differ from the common ones.
        format: the files' format; detected from their bytes, suffix and first lines if absent.
        where: an SQL expression that is true for the rows to read.

    Raises:
        SeqRecError: a missing or unreadable file, a missing column, a condition that is none.
    """
    requested = columns or Columns()
    paths = _list_paths(source)
    if paths is None:
        frame = to_lazy_frame(source)
        with one_line_errors("the frame"):
            return _read(Log(frame, requested), requested, where)
    files = find_parts(paths)
    name = str(source) if isinstance(source, str | Path) else f"{files[0]} and others"
    name = name if len(files) > 1 else str(files[0])
    with one_line_errors(name):
        parts = tuple(open_files(files, requested.by_role().values(), format))
    with _located_errors(parts, name):
        log = _read(Log(scan_files(parts), requested, parts=parts, name=name), requested, where)
    sidecars = read_sidecars(parts[0].source.original) if len(parts) == 1 else Sidecars()
    sums = {label: file_sha256(file.source.original) for label, file in name_files(parts).items()}
    sums |= {path.name: file_sha256(path) for path in sidecars.paths}
    return replace(log, items=sidecars.items, users=sidecars.users, files=sums)


def _list_paths(source: Any) -> str | Path | list[str | Path] | None:
    """Return a path or the list of paths that a source is; None for other sources."""
    if isinstance(source, str | Path):
        return source
    if isinstance(source, list | tuple | Iterator):
        paths = list(source)
        if all(isinstance(one, str | Path) for one in paths):
            return paths
        raise SeqRecError(
            f"a {type(source).__name__} of {type(paths[0]).__name__} is no source: give a list of "
            "paths, or a frame"
        )
    return None


def _read(log: Log, requested: Columns, where: str | None) -> Log:
    """Find the columns of a log's raw rows; unfold its lists and keep the rows of a condition."""
    raw = log.interactions
    unfolding = find_unfolding(raw, requested, is_text=log.is_text, name=log.name)
    steps: list[Transform] = [unfolding.transform] if unfolding.transform else []
    rows = steps[0](raw) if steps else raw
    found = _find_columns(log, rows.head(SAMPLE_ROWS).collect(), unfolding.columns)
    listed = set(unfolding.columns.by_role()) - set(requested.by_role())
    found_by = found.found_by | dict.fromkeys(listed, "name")
    num_rows = 0
    if where is not None:
        num_rows = rows.select(pl.len()).collect(engine="streaming").item()
        steps.append(lambda frame: keep_rows(frame, where, is_text=log.is_text))
        rows = steps[-1](rows)
        if not rows.select(pl.len()).collect(engine="streaming").item():
            raise SeqRecError(f"{log.name}: --where {where} keeps none of {num_rows:,} rows")
    ids = [name for name in (found.columns.user, found.columns.item) if name]
    if log.parts and not steps:
        rows = scan_files(log.parts, ids)
    else:
        rows = cast_frame_to_text(log.name, rows, ids)
    counted = raw.with_row_index(ROW)
    for step in steps:
        counted = step(counted)
    return replace(
        log,
        interactions=rows,
        columns=found.columns,
        found_by=found_by,
        notes=found.notes,
        source_rows=counted.select(ROW) if steps else None,
        condition=where,
        num_rows_before=num_rows,
    )


def _find_columns(log: Log, sample: pl.DataFrame, requested: Columns) -> FoundColumns:
    layout = log.parts[0].layout if log.parts else None
    if layout is not None and layout.is_unnamed:
        return assign_columns(log.name, sample, requested)
    return guess_columns(log.name, sample, requested)


@contextmanager
def _located_errors(parts: Sequence[LogFile], name: str) -> Iterator[None]:
    """Turn parser errors into one ``SeqRecError`` line that names a file's faulty line."""
    try:
        yield
    except SeqRecError:
        raise
    except PARSER_ERRORS as error:
        if len(parts) == 1:
            raise explain_read_error(parts[0], error) from error
        for part in parts:
            with _located_errors([part], name):
                scan(part).collect(engine="streaming")
        with one_line_errors(name):
            raise error
