"""The table of a model's verified properties."""

from collections.abc import Mapping
from typing import Any

from seqrec.errors import shorten
from seqrec.reports.tables import text_table

NOTE_LETTERS = 90
"""Longest note in the table; ``--json`` has all of it."""


def verification_lines(result: Mapping[str, Any]) -> list[str]:
    """A row per property with its deviation and bound, then the counts of results."""
    rows = [
        {
            "property": one["property"],
            "result": one["result"],
            "deviation": _format_number(one["deviation"]),
            "bound": _format_number(one["bound"]),
            "note": shorten(one["note"], NOTE_LETTERS),
        }
        for one in result["properties"]
    ]
    counts: dict[str, int] = {}
    for one in result["properties"]:
        counts[one["result"]] = counts.get(one["result"], 0) + 1
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    return [text_table(rows), f"{said}; {result['seconds']:g} s"]


def _format_number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"
