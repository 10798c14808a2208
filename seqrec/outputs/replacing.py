"""The step that makes a written folder the output, and what a kill can leave of it."""

import ctypes
import os
import shutil
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def swap_in(aside: Path, out: Path) -> None:
    """Move ``aside`` to ``out`` in one step, then delete the replaced folder.

    After a kill between the two, a file beside ``out`` tells that ``aside`` is what was replaced.
    """
    if not out.exists():
        aside.rename(out)
        return
    note = out.with_name(f".{out.name}.replacing-{out.stat().st_ino}")
    note.touch()
    if not _exchange(aside, out):
        old = aside.with_name(f".{out.name}.replaced-{os.getpid()}")
        out.rename(old)
        aside.rename(out)
        aside = old
    shutil.rmtree(aside, ignore_errors=True)
    note.unlink(missing_ok=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders atomically; return False if the system does not support it."""
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "renameat2"):
        return False
    names = os.fsencode(one), os.fsencode(other)
    return not library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)


def _recover(out: Path) -> None:
    """Restore a folder that a kill between two renames left aside, without atomic exchange."""
    for old in _find_leftovers(out, "replaced"):
        if not out.exists():
            old.rename(out)


def is_half_replaced(out: Path) -> bool:
    """Return whether a process was killed while it replaced ``out``."""
    return bool(_find_leftovers(out, "replacing"))


def clear_leftovers(out: Path) -> None:
    """Delete what killed processes left beside ``out``; the caller holds its lock."""
    _recover(out)
    for note in _find_leftovers(out, "replacing"):
        old = out.with_name(f"{out.name}.partial")
        if old.exists() and note.name.endswith(f"-{old.stat().st_ino}"):
            delete(old)
        note.unlink()
    for path in (*_find_leftovers(out, "partial"), *_find_leftovers(out, "replaced")):
        delete(path)


def delete(path: Path) -> None:
    """Delete a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _find_leftovers(out: Path, kind: str) -> list[Path]:
    """Return the paths beside ``out`` that its writers put there; a model folder adds ``.new``."""
    start = f".{out.name}.{kind}-"
    siblings = out.parent.iterdir() if out.parent.is_dir() else ()
    return [
        path
        for path in siblings
        if path.name.startswith(start)
        and path.name.removeprefix(start).removesuffix(".new").isdigit()
    ]
