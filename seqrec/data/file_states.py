"""The state of a file, by which a reader sees that another process has replaced it."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import fstat, stat_result
from pathlib import Path
from typing import BinaryIO, NamedTuple

from seqrec.errors import SeqRecError


class FileState(NamedTuple):
    """The identity of a file, which differs from another of the same name."""

    device: int
    inode: int
    num_bytes: int
    modified_ns: int


def read_state(file: Path) -> FileState:
    """Return the state of the file that has this name now.

    Raises:
        OSError: there is none.
    """
    return _get_state(file.stat())


@contextmanager
def open_same(file: Path, state: FileState) -> Iterator[BinaryIO]:
    """Open the file that once had this state.

    Raises:
        SeqRecError: another file has its name now.
        OSError: none has.
    """
    with file.open("rb") as opened:
        if _get_state(fstat(opened.fileno())) != state:
            raise SeqRecError(f"{file}: was replaced while it was read; start again")
        yield opened


def _get_state(found: stat_result) -> FileState:
    return FileState(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
