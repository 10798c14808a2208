"""Reading of a folder that another process may replace meanwhile."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from seqrec.errors import SeqRecError

ATTEMPTS = 20
PAUSE_SECONDS = 0.05

T = TypeVar("T")


def read_unchanged(folder: Path, read: Callable[[], T]) -> T:
    """Return what ``read`` reads from a folder: all of it old or all of it new.

    If the folder or a file in it was replaced meanwhile, it is read again. An error counts only if
    nothing was.

    Args:
        folder: a folder whose files are replaced by renames.
        read: reads its files by their paths.

    Raises:
        SeqRecError: the folder is replaced more often than it can be read.
    """
    for _ in range(ATTEMPTS):
        before = _get_states(folder)
        try:
            found = read()
        except Exception:
            if _get_states(folder) == before:
                raise
        else:
            if _get_states(folder) == before:
                return found
        time.sleep(PAUSE_SECONDS)
    raise SeqRecError(f"{folder}: is replaced again and again while it is read; try again later")


def _get_states(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """Return the identity of a folder and of every file in it, by name; empty if it is missing."""
    try:
        names = ["", *os.listdir(folder)]
        found = {name: os.stat(folder / name) for name in names}
    except OSError:
        return {}
    return {
        name: (one.st_dev, one.st_ino, one.st_size if name else 0, one.st_mtime_ns if name else 0)
        for name, one in found.items()
    }
