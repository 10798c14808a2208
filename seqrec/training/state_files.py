"""Files of training state: written whole and flushed to disk, checked before they are used."""

import io
import logging
import os
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from seqrec.errors import SeqRecError

logger = logging.getLogger(__name__)


def previous_file(file: Path) -> Path:
    """Return the file that holds the state before the newest one."""
    return file.with_name(f"{file.stem}.previous{file.suffix}")


def write_state(state: dict[str, Any], file: Path, *, keep_previous: bool) -> None:
    """Write a state beside the file, flush it to disk, and rename it.

    Args:
        state: tensors, numbers, text, and lists and dictionaries of them.
        file: the file; a kill or a full disk leaves it whole, or absent beside a whole previous
            one.
        keep_previous: keep the state that the file held as ``previous_file``.
    """
    content = io.BytesIO()
    torch.save(state, content)
    aside = file.with_name(f"{file.name}.new")
    try:
        with aside.open("wb") as opened:
            opened.write(content.getbuffer())
            opened.flush()
            os.fsync(opened.fileno())
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    if keep_previous and file.exists():
        file.replace(previous_file(file))
    aside.replace(file)
    _flush_folder(file.parent)


def _flush_folder(folder: Path) -> None:
    """Flush renames to disk, where the system can open folders."""
    if os.name != "posix":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def read_state(file: Path, keys: Collection[str]) -> dict[str, Any]:
    """Return the state in a file, on the CPU.

    The checksums of all parts are compared first, since torch does not compare them. Nothing in the
    file is executed.

    Args:
        file: a file of ``write_state``.
        keys: keys that the state must have.

    Raises:
        SeqRecError: the file is missing, damaged or of another kind.
    """
    if not file.is_file():
        raise SeqRecError(f"{file}: no such file")
    try:
        with zipfile.ZipFile(file) as archive:
            is_stored = all(part.compress_type == zipfile.ZIP_STORED for part in archive.infolist())
            is_whole = is_stored and archive.testzip() is None
        state = torch.load(file, weights_only=True, map_location="cpu") if is_whole else None
    except Exception as error:  # of zipfile, pickle and torch, by the place of the damage
        raise SeqRecError(f"{file}: damaged, or not a checkpoint") from error
    if state is None:
        raise SeqRecError(f"{file}: damaged, or not a checkpoint")
    if not isinstance(state, dict) or any(key not in state for key in keys):
        raise SeqRecError(f"{file}: not a checkpoint of such a run")
    return state


def read_newest_state(file: Path, keys: Collection[str]) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest whole state and its file: the file's, or the previous one.

    Returns:
        None if neither file exists.

    Raises:
        SeqRecError: files exist, but none is whole.
    """
    problem = None
    for path in (file, previous_file(file)):
        if not path.exists():
            continue
        try:
            state = read_state(path, keys)
        except SeqRecError as error:
            problem = problem or error
            continue
        if problem is not None:
            logger.warning("%s; the run continues from %s", problem, path.name)
        return path, state
    if problem is not None:
        raise SeqRecError(f"{problem}; no whole checkpoint is left, start again with --overwrite")
    return None
