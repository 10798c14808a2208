"""Output folders and files: written aside and moved into place by one rename."""

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seqrec.errors import SeqRecError

METRICS_FILE = "metrics.json"
"""The file with the results of a run, a search or an evaluation, in its folder."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def refuse_existing(out: Path, overwrite: bool) -> None:
    """Refuse to replace a folder without ``overwrite``, and a file by a folder."""
    _recover(out)
    if out.is_file():
        raise SeqRecError(f"--out {out}: is a file; name a folder")
    if out.exists() and any(out.iterdir()) and not overwrite:
        raise SeqRecError(f"--out {out}: exists; name another folder or add --overwrite")


def refuse_existing_file(out: Path, overwrite: bool) -> None:
    """``refuse_existing`` for a single file."""
    if out.is_dir():
        raise SeqRecError(f"--out {out}: is a folder; name a file")
    if out.exists() and not overwrite:
        raise SeqRecError(f"--out {out}: exists; name another file or add --overwrite")


@contextmanager
def new_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder to write into, which becomes ``out`` at the end.

    Until then, and after a failure, ``out`` is unchanged. The next run clears the leftovers of a
    killed one.

    Raises:
        SeqRecError: ``out`` exists and ``overwrite`` is not set; ``out`` cannot be written; the
            disk is full.
    """
    refuse_existing(out, overwrite)
    aside = out.parent / f".{out.name}.partial-{os.getpid()}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(out)
        aside.mkdir()
        yield aside
        swap_in(aside, out)
    except OSError as error:
        raise SeqRecError(f"--out {out}: cannot be written: {describe_os_error(error)}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def new_file(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """``new_folder`` for a single file."""
    refuse_existing_file(out, overwrite)
    aside = out.parent / f".{out.name}.partial-{os.getpid()}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(out)
        yield aside
        aside.replace(out)
    except OSError as error:
        raise SeqRecError(f"--out {out}: cannot be written: {describe_os_error(error)}") from error
    finally:
        aside.unlink(missing_ok=True)


def swap_in(aside: Path, out: Path) -> None:
    """Move ``aside`` to ``out`` in one step, then delete the replaced folder."""
    if not out.exists():
        aside.rename(out)
        return
    if not _exchange(aside, out):
        old = aside.with_name(f".{out.name}.replaced-{os.getpid()}")
        out.rename(old)
        aside.rename(out)
        aside = old
    shutil.rmtree(aside, ignore_errors=True)


def describe_os_error(error: OSError) -> str:
    """The operating system's message, in one line."""
    return error.strerror or " ".join(str(error).split())


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


def _clear_leftovers(out: Path) -> None:
    for path in (*_find_leftovers(out, "partial"), *_find_leftovers(out, "replaced")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _find_leftovers(out: Path, kind: str) -> list[Path]:
    """Paths beside ``out`` that belong to processes that have ended."""
    start = f".{out.name}.{kind}-"
    siblings = out.parent.iterdir() if out.parent.is_dir() else ()
    leftovers = []
    for path in siblings:
        owner = path.name.removeprefix(start)
        if path.name.startswith(start) and owner.isdigit() and not _is_running(int(owner)):
            leftovers.append(path)
    return leftovers


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
