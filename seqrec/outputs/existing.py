"""The one check before something is replaced: what is there, and what the command reads."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from seqrec.errors import SeqRecError
from seqrec.outputs.ownership import find_foreign, is_header

_Identity = tuple[int, int] | str


def refuse_existing(out: Path, overwrite: bool, reads: Iterable[Any] = ()) -> None:
    """Refuse to replace a folder without ``overwrite``, and one that must not be replaced.

    Args:
        out: the folder.
        overwrite: replace it.
        reads: everything that the command reads: paths, names, rankers, lists of them. What is
            no path of this machine is skipped.

    Raises:
        SeqRecError: a file is there; a folder without ``overwrite``; with it, a folder that is,
            holds or lies inside something that the command reads, or that holds files which
            seqrec did not write.
    """
    if out.is_file():
        raise SeqRecError(f"--out {out}: is a file; name a folder")
    is_there = out.exists() and any(out.iterdir())
    reason = _overlap(out, reads) or _overlap(out.with_name(f"{out.name}.partial"), reads)
    if reason is None and is_there:
        foreign = find_foreign(out)
        if foreign is not None:
            reason = f"holds {foreign.relative_to(out)}, which seqrec did not write"
    _refuse(out, "folder", is_there, overwrite, reason)


def refuse_existing_file(out: Path, overwrite: bool, reads: Iterable[Any] = ()) -> None:
    """``refuse_existing`` for a single file; a part of a folder of seqrec's is never replaced."""
    if out.is_dir():
        raise SeqRecError(f"--out {out}: is a folder; name a file")
    reason = _overlap(out, reads)
    if reason is None and out.exists() and _is_part_of_folder(out):
        reason = f"is a part of {out.parent}, which seqrec wrote"
    _refuse(out, "file", out.exists(), overwrite, reason)


def _refuse(out: Path, kind: str, is_there: bool, overwrite: bool, reason: str | None) -> None:
    if overwrite and reason is not None:
        raise SeqRecError(f"--out {out}: {reason}; name another {kind}")
    if is_there and not overwrite:
        advice = " or add --overwrite" if reason is None else ""
        raise SeqRecError(f"--out {out}: exists; name another {kind}{advice}")


def _is_part_of_folder(file: Path) -> bool:
    return any(path.is_file() and is_header(path) for path in file.parent.iterdir())


def _overlap(out: Path, reads: Iterable[Any]) -> str | None:
    """Say how an output and something that the command reads share files; None if they do not."""
    for path in _list_paths(reads):
        mine, theirs = _identify(out), _identify(path)
        if mine == theirs:
            return "is read by this command"
        if mine in map(_identify, path.resolve().parents):
            return f"holds {path}, which this command reads"
        if path.is_dir() and theirs in map(_identify, out.resolve().parents):
            return f"lies inside {path}, which this command reads"
    return None


def _list_paths(reads: Iterable[Any]) -> Iterator[Path]:
    """Yield the existing paths among what a command reads."""
    for one in reads:
        if isinstance(one, str | Path):
            path = Path(one)
            yield from [path] if _exists(path) else filter(_exists, _match(str(one)))
        elif isinstance(one, list | tuple):
            yield from _list_paths(one)
        elif isinstance(getattr(one, "folder", None), Path):  # a recommender in memory
            yield from _list_paths([one.folder])


def _match(pattern: str) -> list[Path]:
    try:
        return [Path(match) for match in glob.glob(pattern)] if glob.has_magic(pattern) else []
    except (OSError, ValueError):
        return []


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # text that is no name of a file
        return False


def _identify(path: Path) -> _Identity:
    """Return what two names of one file or folder share, whatever their letters and links."""
    try:
        found = path.stat()
    except OSError:
        return os.path.normcase(os.path.realpath(path))
    return found.st_dev, found.st_ino
