"""Output folders: written aside, swapped in by one rename, never half there."""

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqrec.errors import SeqRecError

METRICS_FILE = "metrics.json"
"""The results of a run, a search or an evaluation, in its folder."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def refuse_existing(out: Path, overwrite: bool) -> None:
    """Refuse to replace what is there, unless asked to; a file is never replaced by a folder."""
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
    """A folder to write into, that becomes ``out`` at the end, if nothing went wrong.

    Until then, and after any failure, ``out`` is as it was. What a killed run left beside it is
    cleared by the next one.

    Raises:
        SeqRecError: ``out`` exists and ``overwrite`` is not set; it cannot be written; the disk
            is full.
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
        raise SeqRecError(f"--out {out}: cannot be written: {reason_of(error)}") from error
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
        raise SeqRecError(f"--out {out}: cannot be written: {reason_of(error)}") from error
    finally:
        aside.unlink(missing_ok=True)


def parts_of(out: Path) -> Path:
    """Where parts of ``out`` wait until all are there."""
    return out.with_name(f"{out.name}.partial")


def are_of(parts: Path, header_file: str, header: dict[str, Any]) -> bool:
    """Whether the parts that wait say that they are of this."""
    try:
        return bool(json.loads((parts / header_file).read_text()) == header)
    except (OSError, ValueError):
        return False


def begin_parts(parts: Path, header_file: str, header: dict[str, Any], *, overwrite: bool) -> None:
    """Make the folder and say in it what its parts are of.

    Parts of other models or settings are deleted with ``overwrite``.

    Raises:
        SeqRecError: there are such parts and it is not set; there is a folder that holds no parts.
    """
    aside = parts / f"{header_file}.partial"
    is_there = parts.exists() and any(file != aside for file in parts.iterdir())
    if is_there and not (parts / header_file).is_file():
        raise SeqRecError(f"{parts}: is in the way, and of something else; move it")
    if not are_of(parts, header_file, header):
        if any(parts.glob("*.parquet")) and not overwrite:
            raise SeqRecError(
                f"{parts}: was begun with other models, data or settings; give the same, or add "
                "--overwrite to start anew"
            )
        shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True, exist_ok=True)
    aside.write_text(json.dumps(header, indent=2) + "\n")
    aside.replace(parts / header_file)


def free_bytes(path: Path) -> int:
    """Room on the disk where a path is, or would be."""
    return shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free


def swap_in(aside: Path, out: Path) -> None:
    """Put ``aside`` in the place of ``out``, in one step; what was there is deleted after."""
    if not out.exists():
        aside.rename(out)
        return
    if not _exchange(aside, out):
        old = aside.with_name(f".{out.name}.replaced-{os.getpid()}")
        out.rename(old)
        aside.rename(out)
        aside = old
    shutil.rmtree(aside, ignore_errors=True)


def reason_of(error: OSError) -> str:
    """What the operating system says, in one line."""
    return error.strerror or " ".join(str(error).split())


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders atomically; False where system or file system will not."""
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "renameat2"):
        return False
    names = os.fsencode(one), os.fsencode(other)
    return not library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)


def _recover(out: Path) -> None:
    """Where no exchange is possible, a kill between two renames leaves the old one aside."""
    for old in _leftovers(out, "replaced"):
        if not out.exists():
            old.rename(out)


def _clear_leftovers(out: Path) -> None:
    for path in (*_leftovers(out, "partial"), *_leftovers(out, "replaced")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _leftovers(out: Path, what: str) -> list[Path]:
    """What processes that are no more left beside ``out``."""
    start = f".{out.name}.{what}-"
    siblings = out.parent.iterdir() if out.parent.is_dir() else ()
    found = []
    for path in siblings:
        owner = path.name.removeprefix(start)
        if path.name.startswith(start) and owner.isdigit() and not _is_running(int(owner)):
            found.append(path)
    return found


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
