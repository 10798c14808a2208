"""Text files, perhaps compressed: their encodings and their first lines."""

import codecs
import itertools
from pathlib import Path

from seqrec.data.log.compression import open_bytes
from seqrec.data.log.source_files import SourceFile
from seqrec.data.read_errors import one_line_errors
from seqrec.errors import SeqRecError

SAMPLE_BYTES = 1 << 16
SAMPLE_LINES = 100
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LEAST_UNITS, _MOST_UNITS = 4, 256
"""Characters that UTF-16 without a byte order mark is recognised by."""
_SHARE_OF_ZEROS = 0.7
"""Share of these whose upper byte is zero: delimiters, digits and Latin letters."""


def find_encoding(sample: bytes) -> str | None:
    """Return the encoding of text in UTF-16 or UTF-32, or None for all other bytes."""
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding
    units = min(len(sample) // 2, _MOST_UNITS)
    zeros = [sample[first : 2 * units : 2].count(0) for first in (0, 1)]
    if units >= _LEAST_UNITS and min(zeros) == 0 and max(zeros) > _SHARE_OF_ZEROS * units:
        return "utf-16-be" if zeros[0] else "utf-16-le"
    return None


def has_old_line_ends(sample: bytes) -> bool:
    """Return True for text whose lines end with carriage returns alone."""
    return b"\r" in sample and b"\n" not in sample and b"\0" not in sample


def first_lines(file: SourceFile) -> list[str]:
    """Return the first complete lines that are not blank; undecodable bytes are replaced.

    Raises:
        SeqRecError: the file is missing, empty, broken or not text.
    """
    lines = [line for line in _sample(file) if line.strip()]
    if not lines:
        raise SeqRecError(f"{file}: is empty; a log holds one interaction a line")
    return lines[:SAMPLE_LINES]


def count_leading_blank_lines(file: SourceFile) -> int:
    """Return the number of blank lines above the first line that is not blank."""
    return sum(1 for _ in itertools.takewhile(lambda line: not line.strip(), _sample(file)))


def read_text(path: Path) -> str:
    """Return a whole file, decompressed: UTF-8, UTF-16, or else Latin-1.

    GroupLens' first files are in Latin-1. Lines end with line feeds.
    """
    with open_bytes(path) as file:
        data = file.read()
    encoding = find_encoding(data)
    try:
        text = data.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    return text if "\n" in text else text.replace("\r", "\n")


def _sample(file: SourceFile) -> list[str]:
    """Return the first lines as editors count them; other Unicode separators end no line."""
    with one_line_errors(file.name):
        with open_bytes(file.path, file.name) as content:
            sample = content.read(SAMPLE_BYTES)
    lines = sample.decode("utf-8-sig", "replace").split("\n")
    if len(sample) == SAMPLE_BYTES and len(lines) > 1:
        lines.pop()
    return [line.rstrip("\r") for line in lines]
