"""Settings of a baseline: the keywords of what fits it, and how they are written in one word."""

import inspect
from collections.abc import Callable
from typing import Any

from seqrec.errors import SeqRecError

Settings = dict[str, Any]
"""Numbers and names, by keyword."""

SHARES = ("_decay", "_share", "_power")
"""How settings end that are at most 1."""


def default_settings(builder: Callable[..., object]) -> Settings:
    """Every setting of a baseline, at its default."""
    parameters = inspect.signature(builder).parameters.values()
    return {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}


def parse_settings(name: str, text: str, defaults: Settings) -> Settings:
    """The settings that ``key=value,key=value`` names; none if it is empty.

    Raises:
        SeqRecError: a setting that the baseline lacks, or a value that is no such number.
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
    """``NAME``, or ``NAME:setting=value,...`` if there are settings."""
    listed = ",".join(f"{key}={value}" for key, value in settings.items())
    return f"{name}:{listed}" if listed else name


def check_settings(name: str, settings: Settings) -> None:
    """Refuse a count below 1, a number below 0, a share above 1.

    Raises:
        SeqRecError: one of these.
    """
    for key, value in settings.items():
        if isinstance(value, str):
            continue
        lowest = 1 if isinstance(value, int) else 0
        if not lowest <= value < float("inf"):
            raise SeqRecError(f"{name}: {key}={value}: at least {lowest}")
        if key.endswith(SHARES) and value > 1:
            raise SeqRecError(f"{name}: {key}={value}: at most 1")
