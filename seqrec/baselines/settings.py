"""Settings of baselines: keyword arguments of their builders, and their text form."""

import inspect
from collections.abc import Callable
from typing import Any

from seqrec.errors import SeqRecError

Settings = dict[str, Any]
"""Numbers and strings by keyword."""

SHARES = ("_decay", "_share", "_power")
"""Suffixes of settings that are at most 1."""


def default_settings(builder: Callable[..., object]) -> Settings:
    """Return the default settings of a baseline from its builder's signature."""
    parameters = inspect.signature(builder).parameters.values()
    return {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}


def parse_settings(name: str, text: str, defaults: Settings) -> Settings:
    """Return the settings of ``key=value,key=value``; none for an empty text.

    Raises:
        SeqRecError: an unknown setting, or a value of the wrong type.
    """
    settings: Settings = {}
    for part in text.split(",") if text else ():
        key, _, value = part.partition("=")
        if key not in defaults:
            known = ", ".join(defaults) or "it has none"
            raise SeqRecError(f"{name}: no setting {key!r}; known here: {known}")
        kind = type(defaults[key])
        try:
            settings[key] = kind(value)
        except ValueError as error:
            what = "a whole number" if kind is int else "a number"
            raise SeqRecError(f"{name}: {key}={value}: write {what}") from error
    return settings


def baseline_text(name: str, settings: Settings) -> str:
    """Return ``NAME``, or ``NAME:setting=value,...`` if there are settings."""
    listed = ",".join(f"{key}={value}" for key, value in settings.items())
    return f"{name}:{listed}" if listed else name


def check_settings(name: str, settings: Settings) -> None:
    """Check the range of settings.

    Raises:
        SeqRecError: a count below 1, a number below 0 or a share above 1.
    """
    for key, value in settings.items():
        if isinstance(value, str):
            continue
        lowest = 1 if isinstance(value, int) else 0
        if not lowest <= value < float("inf"):
            raise SeqRecError(f"{name}: {key}={value}: at least {lowest}")
        if key.endswith(SHARES) and value > 1:
            raise SeqRecError(f"{name}: {key}={value}: at most 1")
