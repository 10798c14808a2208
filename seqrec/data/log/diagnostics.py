"""The slow pass over a file that could not be read, to find the faulty line."""

import csv
import itertools
import json
from collections.abc import Iterator

from seqrec.data.log.compression import open_bytes
from seqrec.data.log.formats import BINARY_FORMATS, LogFile
from seqrec.data.log.text import count_leading_blank_lines
from seqrec.data.read_errors import PARSER_ERRORS, first_line
from seqrec.errors import SeqRecError


def locate_row(file: LogFile, row: int) -> str:
    """Return the file and the line, counted from 1, of a row (0 is the first)."""
    if file.format in BINARY_FORMATS:
        return f"{file.source}: row {row + 1}"
    if file.source.is_json_array:
        return f"{file.source}: entry {row + 1}"
    if file.format == "ndjson":
        numbers = (number for number, line in _lines(file) if line.strip())
    elif file.layout and len(file.layout.delimiter) == 1:
        numbers = (number for number, _ in _records(file))
    else:
        numbers = (number for number, _ in _lines(file))
    skipped = row + (
        count_leading_blank_lines(file.source) + file.layout.has_header if file.layout else 0
    )
    return f"{file.source}: line {next(itertools.islice(numbers, skipped, None), 1)}"


def explain_read_error(file: LogFile, error: BaseException) -> SeqRecError:
    """Return the error that names the faulty line of a file, and its fault."""
    if isinstance(error, FileNotFoundError):
        return SeqRecError(f"{file.source}: no such file")
    if file.format in BINARY_FORMATS:
        kind = BINARY_FORMATS[file.format]
        return SeqRecError(f"{file.source}: not {kind} file, or cut short: {first_line(error)}")
    try:
        fault = _first_fault(file)
    except PARSER_ERRORS as broken:
        return SeqRecError(f"{file.source}: broken: {first_line(broken)}; fetch or write it again")
    return SeqRecError(f"{file.source}: {fault or 'cannot be read: ' + first_line(error)}")


def _first_fault(file: LogFile) -> str | None:
    with open_bytes(file.source.path, file.source.name) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                wrong = line[error.start : error.start + 4]
                return (
                    f"line {number}: {wrong!r} is not UTF-8 text; convert the file, such as with "
                    "iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"
                )
    if file.format == "ndjson":
        for number, text in _lines(file):
            if text.strip() and not _is_object(text):
                return f"line {number}: not a JSON object: {text.strip()[:60]!r}"
    elif file.layout:
        width = len(file.layout.names)
        try:
            for number, fields in _records(file, strict=True):
                if len(fields) > width:
                    return f"line {number}: {len(fields)} fields where the first line has {width}"
        except csv.Error as error:
            return str(error)
    return None


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _lines(file: LogFile) -> Iterator[tuple[int, str]]:
    with open_bytes(file.source.path, file.source.name) as lines:
        for number, line in enumerate(lines, start=1):
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8", "replace")


def _records(file: LogFile, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the fields of every record.

    Raises:
        csv.Error: if ``strict``, for a quotation that is not closed, and for a single double
            quote inside a field of a file whose double quotes enclose fields.
    """
    assert file.layout is not None
    num_quotes = 0

    def counted() -> Iterator[str]:
        nonlocal num_quotes
        for _, line in _lines(file):
            num_quotes += line.count('"')
            yield line

    reader = csv.reader(
        counted(),
        delimiter=file.layout.delimiter,
        quoting=csv.QUOTE_MINIMAL if file.layout.is_quoted else csv.QUOTE_NONE,
        strict=strict,
    )
    while True:
        start = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise csv.Error(f"line {start}: a quotation is broken: {error}") from error
        if strict and file.layout.is_quoted and num_quotes % 2:
            raise csv.Error(
                f"line {start}: a double quote inside a field, in a file with quoted fields; "
                'write the field as "7"" vinyl"'
            )
        yield start, fields
