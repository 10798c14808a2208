"""Small files of text and JSON, read whole within limits."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from seqrec.errors import SeqRecError, quote, refuse_unreadable

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


def check_no_stream(file: Path) -> None:
    """Refuse a device and a pipe; a missing file and a folder are left to the reader.

    Raises:
        SeqRecError: a file that may have no end.
    """
    if file.exists() and not file.is_dir():
        check_regular(file, "name a regular file")


def check_regular(file: Path, fix: str) -> None:
    """Refuse a folder, a device and a pipe, which have no end or nobody who writes.

    Raises:
        SeqRecError: also if there is no such file.
    """
    if file.is_file():
        return
    what = "is no regular file" if file.exists() else "No such file"
    raise SeqRecError(f"{file}: {what}; {fix}")


def check_types(values: Mapping[str, Any], types: Mapping[str, Any], where: str) -> None:
    """Refuse values that are not of the types that annotations name.

    Args:
        values: by name.
        types: annotations by name; each name must have a value.
        where: the file, and the part of it, in messages.

    Raises:
        SeqRecError: the first value that is absent or of another type.
    """
    for name, annotation in types.items():
        if name not in values:
            raise SeqRecError(f"{where}: {name} is missing")
        if not _has_type(values[name], annotation):
            raise SeqRecError(f"{where}: {name} is {quote(values[name])}, which it cannot be")


def _has_type(value: Any, annotation: Any) -> bool:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return any(_has_type(value, one) for one in arguments)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin in (list, tuple):
        is_list = isinstance(value, list | tuple)
        return is_list and all(_has_type(one, arguments[0]) for one in value)
    if annotation is None or annotation is type(None):
        return value is None
    if isinstance(value, bool):
        return annotation is bool
    if annotation is float:
        return isinstance(value, int | float) and abs(value) < float("inf")
    return isinstance(value, annotation)
