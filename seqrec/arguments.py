"""Types of the arguments of public functions: checked by their annotations, converted if equal.

A whole number of NumPy counts as ``int``, one element where a sequence is meant as a sequence of
one, and an iterator as the list of its elements.
"""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial, wraps
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from seqrec.errors import SeqRecError

P = ParamSpec("P")
R = TypeVar("R")

MOST_LETTERS = 60
"""Longest value that a message shows."""
LISTS = (list, tuple, set, frozenset, Iterator)
NAMES: dict[Any, str] = {
    Any: "any value",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    NoneType: "None",
    str: "text",
    Path: "a path",
    Literal: "text",
    Mapping: "a mapping",
    tuple: "a tuple",
    Callable: "a function",
}


class _WrongType(Exception):
    """A value that an annotation excludes."""


def check_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with its arguments checked by their annotations.

    Raises:
        SeqRecError: an argument of another type; the message names it.
    """
    signature = inspect.signature(function)
    get_hints = cache(partial(get_type_hints, function))  # a class may name itself

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        bound, hints = signature.bind(*args, **kwargs), get_hints()
        for name, value in bound.arguments.items():
            if name in hints:
                bound.arguments[name] = _check(name, value, hints[name])
        return function(*bound.args, **bound.kwargs)

    return checked


def as_list(value: Any) -> list[Any]:
    """Return the elements of a list, an iterator, an array or a series; any other value alone."""
    read = getattr(value, "tolist", None) or getattr(value, "to_list", None)
    if read is not None and getattr(value, "ndim", 1) > 0:
        return read()
    return list(value) if isinstance(value, LISTS) else [value]


def _check(name: str, value: Any, hint: Any) -> Any:
    """Return the value as the annotation has it."""
    try:
        return _convert(value, hint)
    except _WrongType as error:
        text = repr(value)
        shown = f"{text} is" if len(text) <= MOST_LETTERS and text.isprintable() else "is"
        raise SeqRecError(
            f"{name}: {shown} of type {type(value).__name__}; give {_describe(hint)}"
        ) from error


def _convert(value: Any, hint: Any) -> Any:
    """Return the value as one member of the annotation; the first that accepts it."""
    for member in _get_members(hint):
        try:
            return _convert_to_member(value, member)
        except _WrongType:
            continue
    raise _WrongType


def _convert_to_member(value: Any, member: Any) -> Any:
    origin = get_origin(member) or member
    if origin in CONVERTERS:
        return CONVERTERS[origin](value)
    if origin is Literal:
        return CONVERTERS[str](value)
    if origin is Sequence:
        return _convert_elements(value, get_args(member)[0])
    if origin is tuple:
        return tuple(value) if isinstance(value, tuple | list) else _refuse(value)
    if origin is Callable:
        return value if callable(value) else _refuse(value)
    return value if isinstance(value, origin) else _refuse(value)


def _convert_elements(value: Any, element: Any) -> list[Any]:
    """Return the converted elements; a text of numbers may separate them by commas."""
    if value is None or isinstance(value, Mapping):
        raise _WrongType
    if element is int and isinstance(value, str):
        parts = value.split(",")
        if not all(part.strip().lstrip("-").isdigit() for part in parts):
            raise _WrongType
        return [int(part) for part in parts]
    return [_convert(one, element) for one in as_list(value)]


def _get_members(hint: Any) -> Sequence[Any]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _describe(hint: Any) -> str:
    """Return the annotation in words."""
    words = []
    for member in (one for one in _get_members(hint) if one is not NoneType):
        origin = get_origin(member) or member
        if origin is Sequence:
            words.append(f"a list whose elements are {_describe(get_args(member)[0])}")
        else:
            words.append(NAMES.get(origin) or f"a {origin.__name__}")
    return " or ".join(dict.fromkeys(words))


def _refuse(value: Any) -> Any:
    raise _WrongType


def _to_bool(value: Any) -> bool:
    return bool(value) if type(value).__name__ in ("bool", "bool_") else _refuse(value)


def _to_int(value: Any) -> int:
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    return int(value) if is_whole else _refuse(value)


def _to_float(value: Any) -> float:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise _WrongType
    return value if isinstance(value, int | float) else float(value)


def _to_none(value: Any) -> Any:
    return None if value is None else _refuse(value)


def _to_text(value: Any) -> str:
    return str(value) if isinstance(value, str) else _refuse(value)


def _to_path(value: Any) -> Path:
    return Path(value) if isinstance(value, os.PathLike) else _refuse(value)


CONVERTERS: dict[Any, Callable[[Any], Any]] = {
    Any: lambda value: value,
    bool: _to_bool,
    int: _to_int,
    float: _to_float,
    NoneType: _to_none,
    str: _to_text,
    Path: _to_path,
}
"""Function that returns a value as an annotated type, or raises ``_WrongType``."""
