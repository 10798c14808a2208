"""Files of text examples: JSON lines and Parquet, read record by record."""

import glob
import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.data.checksums import file_sha256
from seqrec.errors import SeqRecError, quote, refuse_unreadable
from seqrec.files import check_regular

LINE_SUFFIXES = (".jsonl", ".ndjson")
SUFFIXES = (*LINE_SUFFIXES, ".parquet")
FIX = "name a file of examples (.jsonl, .ndjson or .parquet), a folder of them or a pattern"
HELD_GROUPS = 4
"""Row groups of Parquet files that stay in memory."""


class Place(NamedTuple):
    """The place of a record: by it the record is read again."""

    file: int
    """The number of the file."""
    offset: int
    """The first byte of a line, or the row group of a Parquet file."""
    row: int
    """The number of the line from 1, or the row within the group."""


class TextFiles:
    """The examples of one or more files, which are read when they are needed.

    Only one line, or a few row groups, are in memory at a time.
    """

    def __init__(self, path: Path, files: list[Path]) -> None:
        self.path = path
        self.files = files
        whole = hashlib.sha256()
        for file in files:
            whole.update(file_sha256(file).encode())
        self.fingerprint = whole.hexdigest()
        """The sha256 of the content of all files, whatever their names."""
        self._read_group = lru_cache(HELD_GROUPS)(self._load_group)

    @classmethod
    def open(cls, path: str | Path) -> "TextFiles":
        """Find the files of a file, a folder or a pattern such as ``chats/*.jsonl``.

        Raises:
            SeqRecError: no such file, no file of examples, or a device.
        """
        path = Path(path)
        if path.is_dir():
            found = (file for suffix in SUFFIXES for file in path.rglob(f"*{suffix}"))
            files = sorted(file for file in found if not file.name.startswith("."))
            if not files:
                raise SeqRecError(f"{path}: holds no file of examples; {FIX}")
        elif path.exists():
            files = [path]
        else:
            files = sorted(map(Path, glob.glob(str(path), recursive=True)))
            if not files:
                raise SeqRecError(f"{path}: no such file; {FIX}")
        for file in files:
            check_regular(file, FIX)
            if file.suffix not in SUFFIXES:
                raise SeqRecError(f"{file}: is no file of examples by its name; {FIX}")
        return cls(path, files)

    @property
    def provenance(self) -> dict[str, str]:
        """The path and the fingerprint, for the provenance of a run."""
        return {"data": str(self.path), "data_fingerprint": self.fingerprint}

    def records(self) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Yield every record and its place, in the order of the files.

        Raises:
            SeqRecError: a file that cannot be read, or a line that is no JSON object, by number.
        """
        for number, file in enumerate(self.files):
            if file.suffix in LINE_SUFFIXES:
                yield from self._lines(number)
                continue
            for group in range(_parquet_file(file).num_row_groups):
                for row, record in enumerate(self._load_group(number, group)):
                    yield Place(number, group, row), record

    def read(self, place: Place) -> dict[str, Any]:
        """Return the record of a place."""
        file = self.files[place.file]
        if file.suffix not in LINE_SUFFIXES:
            return self._read_group(place.file, place.offset)[place.row]
        with refuse_unreadable(str(file), FIX), file.open("rb") as opened:
            opened.seek(place.offset)
            return _parse_line(opened.readline(), self.name(place))

    def name(self, place: Place) -> str:
        """Return the name of a record in messages: its file and line, or row."""
        file = self.files[place.file]
        if file.suffix in LINE_SUFFIXES:
            return f"{file}: line {place.row}"
        return f"{file}: row {place.row} of row group {place.offset}"

    def _lines(self, number: int) -> Iterator[tuple[Place, dict[str, Any]]]:
        offset, file = 0, self.files[number]
        with refuse_unreadable(str(file), FIX), file.open("rb") as opened:
            for row, line in enumerate(opened, start=1):
                place = Place(number, offset, row)
                offset += len(line)
                if line.strip():
                    yield place, _parse_line(line, self.name(place))

    def _load_group(self, number: int, group: int) -> list[dict[str, Any]]:
        file = self.files[number]
        with refuse_unreadable(str(file), FIX):
            table: pa.Table = _parquet_file(file).read_row_group(group)
            return table.to_pylist()


def _parquet_file(file: Path) -> pq.ParquetFile:
    with refuse_unreadable(str(file), FIX):
        return pq.ParquetFile(file)


def _parse_line(line: bytes, name: str) -> dict[str, Any]:
    """Return the object of a line of JSON.

    Raises:
        SeqRecError: the line is broken, or another value.
    """
    try:
        text = line.decode("utf-8-sig")
        record = json.loads(text)
        if "\\ud" in text.lower():  # half of a surrogate pair is no letter of any encoding
            json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise SeqRecError(f"{name}: is not JSON ({error}); correct or remove it") from error
    if not isinstance(record, dict):
        raise SeqRecError(f"{name}: {quote(record)} is no JSON object; correct or remove it")
    return record
