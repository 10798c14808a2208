"""The layout of a text file, its delimiter and its header, detected from the first lines."""

import csv
from collections.abc import Collection
from dataclasses import dataclass

from seqrec.data.log.column_names import is_common_name
from seqrec.data.log.compression import open_bytes
from seqrec.data.log.source_files import SourceFile
from seqrec.data.log.text import count_leading_blank_lines, first_lines
from seqrec.data.read_errors import PARSER_ERRORS
from seqrec.errors import SeqRecError

DELIMITERS = ("::", "\t", ";", "|", ",", " ")
CHUNK_BYTES = 1 << 24


@dataclass(frozen=True)
class Layout:
    """The delimiter, header and quoting of a delimited text file."""

    delimiter: str
    has_header: bool
    names: list[str]
    """Column names; ``"1"``, ``"2"``, ... if there is no header."""
    first_row: list[str]
    is_quoted: bool = True
    """True if a double quote at the start of a field opens a quotation."""

    @property
    def is_unnamed(self) -> bool:
        """True if the columns have no names, only numbers."""
        return self.names == number_columns(len(self.names))


def sniff(file: SourceFile, given_names: Collection[str] = ()) -> Layout:
    """Return the layout that fits the first lines best.

    Args:
        file: a text file, perhaps compressed.
        given_names: column names from the user; a first line that holds one is a header.

    Raises:
        SeqRecError: one column only, or a first line that is longer or shorter than the others.
    """
    lines = first_lines(file)
    scores = {delimiter: _agreement(lines, delimiter) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda candidate: scores[candidate])
    other = max(DELIMITERS[:-1], key=lambda candidate: scores[candidate])
    if delimiter == " " and scores[other][0] > 0.5:  # spaces inside of ids, and a broken row
        delimiter = other
    if scores[delimiter] == (0.0, 0):
        raise SeqRecError(f"{file}: line 1: one column only; a log has a user and an item a line")
    rows = [split_line(line, delimiter) for line in lines]
    header = has_header(rows[0], rows[1:], given_names)
    surplus = len(rows[0]) - scores[delimiter][1]
    if delimiter != " " and (surplus < 0 or (surplus > 0 and not header)):
        line = count_leading_blank_lines(file) + 1
        raise SeqRecError(
            f"{file}: line {line}: {len(rows[0])} fields where other lines have "
            f"{scores[delimiter][1]}; a log starts with its header or its first interaction"
        )
    names = [name.strip() for name in rows[0]]
    if not header:
        names = number_columns(len(names))
    first_row = rows[min(int(header), len(rows) - 1)]
    return check_layout(
        file, Layout(delimiter, header, names, first_row, has_quotations(file, delimiter))
    )


def has_quotations(file: SourceFile, delimiter: str) -> bool:
    """Return True if double quotes enclose fields, False if they only occur inside fields."""
    openings = (b'\n"', delimiter.encode() + b'"')
    has_quotes, last = False, b"\n"
    try:
        with open_bytes(file.path, file.name) as content:
            while chunk := content.read(CHUNK_BYTES):
                has_quotes = has_quotes or b'"' in chunk
                if has_quotes and any(opening in last + chunk for opening in openings):
                    return True
                last = chunk[-2:]
    except PARSER_ERRORS:
        return True  # reading the file reports the fault
    return not has_quotes


def number_columns(num_columns: int) -> list[str]:
    """Return names for columns without a header: ``"1"``, ``"2"``, ..."""
    return [str(number) for number in range(1, num_columns + 1)]


def check_layout(file: SourceFile, layout: Layout) -> Layout:
    """Return the layout; raise a ``SeqRecError`` if two columns of its header have one name."""
    duplicates = [name for name in layout.names if layout.names.count(name) > 1]
    if duplicates:
        raise SeqRecError(f"{file}: line 1: column {duplicates[0]!r} occurs twice; rename one")
    return layout


def has_header(first: list[str], rest: list[list[str]], given_names: Collection[str]) -> bool:
    """Return True if the first line holds a common or given name, or text above numbers."""
    if any(is_number(field) for field in first):
        return False
    if any(is_common_name(field) or field.strip() in given_names for field in first):
        return True
    columns = zip(*rest, strict=False)
    return bool(rest) and any(all(is_number(field) for field in column) for column in columns)


def split_line(line: str, delimiter: str) -> list[str]:
    """Return the fields of one line."""
    if len(delimiter) > 1:
        return line.split(delimiter)
    return next(csv.reader([line], delimiter=delimiter), [])


def _agreement(lines: list[str], delimiter: str) -> tuple[float, int]:
    """Return the most common number of fields above one: its share of the lines, and itself."""
    counts = [len(split_line(line, delimiter)) for line in lines]
    return max(((counts.count(n) / len(counts), n) for n in set(counts) if n > 1), default=(0.0, 0))


def is_number(field: str) -> bool:
    """Return True if a field is a number."""
    try:
        float(field)
    except ValueError:
        return False
    return True
