"""Small files of text and JSON, read whole within limits."""

import json
from pathlib import Path
from typing import Any

from seqrec.errors import SeqRecError, refuse_unreadable

MAX_BYTES = 1 << 28
"""Largest file of text that is read into memory, 256 MiB."""


def read_text(file: Path, fix: str, max_bytes: int = MAX_BYTES) -> str:
    """Return the text of a regular file in UTF-8.

    Args:
        file: the path.
        fix: what the user can do about a file that cannot be read.
        max_bytes: size from which the file is refused.

    Raises:
        SeqRecError: no such file, a device or pipe, a large file, or bytes that are no UTF-8.
    """
    with refuse_unreadable(str(file), fix):
        check_regular(file, fix)
        size = file.stat().st_size
        if size > max_bytes:
            raise SeqRecError(f"{file}: has {size:,} bytes, at most {max_bytes:,} are read; {fix}")
        return file.read_text(encoding="utf-8")


def read_json(file: Path, fix: str) -> Any:
    """Return the value in a JSON file; see ``read_text``.

    Raises:
        SeqRecError: also text that is not JSON, or nested too deeply.
    """
    text = read_text(file, fix)
    with refuse_unreadable(str(file), fix):
        return parse_json(text)


def read_json_object(file: Path, fix: str) -> dict[str, Any]:
    """Return the object in a JSON file; see ``read_json``.

    Raises:
        SeqRecError: also another kind of value.
    """
    value = read_json(file, fix)
    if not isinstance(value, dict):
        raise SeqRecError(f"{file}: holds no JSON object; {fix}")
    return value


def parse_json(text: str | bytes) -> Any:
    """Return a JSON value.

    Raises:
        ValueError: text that is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def check_regular(file: Path, fix: str) -> None:
    """Refuse a folder, a device and a pipe, which have no end or nobody who writes.

    Raises:
        SeqRecError: also if there is no such file.
    """
    if file.is_file():
        return
    what = "is no regular file" if file.exists() else "No such file"
    raise SeqRecError(f"{file}: {what}; {fix}")
