"""The place of an output: a name that a user wrote becomes the path that is written."""

import os
import re
from pathlib import Path

from seqrec.errors import SeqRecError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def locate_output(out: str | Path) -> Path:
    """Return the path that is written for ``--out``.

    ``~`` is the home folder. A link stays a link: what it leads to is written, on the disk where
    that lies.

    Raises:
        SeqRecError: a URL, a name that some library reads as one, the current folder or one that
            holds it, the root of a disk, a circle of links, or a folder that cannot be made.
    """
    text = os.fspath(out)
    if _SCHEME.match(text) or "::" in os.path.abspath(text):
        raise SeqRecError(f"--out {out}: is read as a URL; name a folder or file of this machine")
    if not _is_text(os.path.abspath(text)):
        raise SeqRecError(f"--out {text!a}: the name is not UTF-8; name another")
    if not text.strip():
        raise SeqRecError("--out: is empty; name what to write")
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise SeqRecError(f"--out {out}: no such home folder") from error
    if path.is_symlink():
        path = Path(os.path.realpath(path))
        if path.is_symlink():
            raise SeqRecError(f"--out {out}: is a link that leads to itself; name another")
    if path.name in ("", ".."):
        path = path.resolve()
    _refuse_place(path, out)
    return path


def _refuse_place(path: Path, out: str | Path) -> None:
    """Refuse a place that no rename can fill, or that no folder can be made in."""
    resolved = path.resolve()
    here = Path.cwd().resolve()
    if resolved in (here, *here.parents):
        raise SeqRecError(f"--out {out}: is or holds the current folder; name a folder within it")
    if os.path.ismount(path):
        raise SeqRecError(f"--out {out}: is the root of a disk; name a folder within it")
    if path.exists() and not (path.is_dir() or path.is_file()):
        raise SeqRecError(f"--out {out}: is no regular file; name a folder or file")
    nearest = next((parent for parent in resolved.parents if os.path.lexists(parent)), None)
    if nearest is not None and not nearest.is_dir():
        raise SeqRecError(f"--out {out}: cannot be written: {nearest} is not a folder")
    if nearest is not None and not os.access(nearest, os.W_OK | os.X_OK):
        raise SeqRecError(f"--out {out}: cannot be written: {nearest}: Permission denied")


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
