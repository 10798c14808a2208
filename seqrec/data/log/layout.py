"""The layout of a text file: its delimiter and its header, judged by the first lines."""

import csv
import gzip
import itertools
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from seqrec.data.log.columns import is_usual
from seqrec.errors import SeqRecError

DELIMITERS = ("::", "\t", ";", "|", ",", " ")
SAMPLE_BYTES = 1 << 16
CHUNK_BYTES = 1 << 24
SAMPLE_LINES = 100


@dataclass(frozen=True)
class Layout:
    """How a delimited text file is read."""

    delimiter: str
    has_header: bool
    names: list[str]
    """Of the columns; ``"1"``, ``"2"``, ... if there is no header."""
    first_row: list[str]
    is_quoted: bool = True
    """Whether a double quote at the start of a field opens a quotation."""

    @property
    def is_unnamed(self) -> bool:
        """Whether the columns are known by their place only."""
        return self.names == numbered(len(self.names))


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, decompressed if its name ends with ``.gz``."""
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore


def first_lines(path: Path) -> list[str]:
    """The first lines that are whole and not blank; undecodable bytes are replaced.

    Raises:
        SeqRecError: the file is missing, empty or broken.
    """
    lines = [line for line in _sample(path) if line.strip()]
    if not lines:
        raise SeqRecError(f"{path}: is empty; a log holds one interaction a line")
    return lines[:SAMPLE_LINES]


def num_blank_above(path: Path) -> int:
    """Blank lines above the first one that is not."""
    return sum(1 for _ in itertools.takewhile(lambda line: not line.strip(), _sample(path)))


def _sample(path: Path) -> list[str]:
    """The file's first lines as editors count them: other separators of Unicode end none."""
    try:
        with open_bytes(path) as file:
            sample = file.read(SAMPLE_BYTES)
    except FileNotFoundError as error:
        raise SeqRecError(f"{path}: no such file") from error
    except (OSError, EOFError, zlib.error) as error:
        raise SeqRecError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    lines = sample.decode("utf-8-sig", "replace").split("\n")
    if len(sample) == SAMPLE_BYTES and len(lines) > 1:
        lines.pop()
    return [line.rstrip("\r") for line in lines]


def sniff(path: Path, given_names: Collection[str] = ()) -> Layout:
    """The layout that the first lines speak for.

    Args:
        path: a text file, perhaps compressed.
        given_names: columns that the user named: where they stand in the first line, it is a
            header.
    """
    lines = first_lines(path)
    scores = {delimiter: _agreement(lines, delimiter) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda candidate: scores[candidate])
    if scores[delimiter] == (0.0, 0):
        raise SeqRecError(f"{path}: line 1: one column only; a log has a user and an item a line")
    rows = [split_line(line, delimiter) for line in lines]
    header = has_header(rows[0], rows[1:], given_names)
    surplus = len(rows[0]) - scores[delimiter][1]
    if delimiter != " " and (surplus < 0 or (surplus > 0 and not header)):
        raise SeqRecError(
            f"{path}: line {num_blank_above(path) + 1}: {len(rows[0])} fields where other lines "
            f"have {scores[delimiter][1]}; a log starts with its header or its first interaction"
        )
    names = [name.strip() for name in rows[0]]
    if not header:
        names = numbered(len(names))
    first_row = rows[min(int(header), len(rows) - 1)]
    return checked(
        path, Layout(delimiter, header, names, first_row, has_quotations(path, delimiter))
    )


def has_quotations(path: Path, delimiter: str) -> bool:
    """Whether double quotes enclose fields: false if they only stand inside of fields."""
    openings = (b'\n"', delimiter.encode() + b'"')
    has_quotes, last = False, b"\n"
    try:
        with open_bytes(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                has_quotes = has_quotes or b'"' in chunk
                if has_quotes and any(opening in last + chunk for opening in openings):
                    return True
                last = chunk[-2:]
    except (OSError, EOFError, zlib.error):
        return True  # a broken file is told about when it is read
    return not has_quotes


def numbered(num_columns: int) -> list[str]:
    """The names of columns that have none: ``"1"``, ``"2"``, ..."""
    return [str(place) for place in range(1, num_columns + 1)]


def checked(path: Path, layout: Layout) -> Layout:
    """The layout, if no column stands twice in its header."""
    twice = [name for name in layout.names if layout.names.count(name) > 1]
    if twice:
        raise SeqRecError(f"{path}: line 1: column {twice[0]!r} stands twice; rename one")
    return layout


def has_header(first: list[str], rest: list[list[str]], given_names: Collection[str]) -> bool:
    """Whether the first line names columns: by usual or given names, or as text over numbers."""
    if any(is_number(field) for field in first):
        return False
    if any(is_usual(field) or field.strip() in given_names for field in first):
        return True
    columns = zip(*rest, strict=False)
    return bool(rest) and any(all(is_number(field) for field in column) for column in columns)


def split_line(line: str, delimiter: str) -> list[str]:
    """The fields of one line."""
    if len(delimiter) > 1:
        return line.split(delimiter)
    return next(csv.reader([line], delimiter=delimiter), [])


def _agreement(lines: list[str], delimiter: str) -> tuple[float, int]:
    """The largest share of lines with as many fields, of two or more; and how many fields."""
    counts = [len(split_line(line, delimiter)) for line in lines]
    return max(((counts.count(n) / len(counts), n) for n in set(counts) if n > 1), default=(0.0, 0))


def is_number(field: str) -> bool:
    """Whether a field is written as a number."""
    try:
        float(field)
    except ValueError:
        return False
    return True
