"""Text files, perhaps compressed: their bytes and their first lines."""

import gzip
import itertools
from pathlib import Path
from typing import IO

from seqrec.data.read_errors import one_line_errors
from seqrec.errors import SeqRecError

SAMPLE_BYTES = 1 << 16
SAMPLE_LINES = 100


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for its bytes, decompressed if its name ends with ``.gz``."""
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore


def first_lines(path: Path) -> list[str]:
    """Return the first complete lines that are not blank; undecodable bytes are replaced.

    Raises:
        SeqRecError: the file is missing, empty, broken or not text.
    """
    lines = [line for line in _sample(path) if line.strip()]
    if not lines:
        raise SeqRecError(f"{path}: is empty; a log holds one interaction a line")
    return lines[:SAMPLE_LINES]


def count_leading_blank_lines(path: Path) -> int:
    """Return the number of blank lines above the first line that is not blank."""
    return sum(1 for _ in itertools.takewhile(lambda line: not line.strip(), _sample(path)))


def check_line_ends(path: Path, content: bytes) -> None:
    """Refuse text whose lines end with carriage returns alone, as old spreadsheets write it."""
    if b"\r" in content and b"\n" not in content and b"\0" not in content:
        raise SeqRecError(
            f"{path}: its lines end with carriage returns alone; save it with line feeds "
            "(CSV UTF-8, not CSV Macintosh)"
        )


def _sample(path: Path) -> list[str]:
    """Return the first lines as editors count them; other Unicode separators end no line."""
    with one_line_errors(str(path)):
        with open_bytes(path) as file:
            sample = file.read(SAMPLE_BYTES)
    check_line_ends(path, sample)
    lines = sample.decode("utf-8-sig", "replace").split("\n")
    if len(sample) == SAMPLE_BYTES and len(lines) > 1:
        lines.pop()
    return [line.rstrip("\r") for line in lines]
