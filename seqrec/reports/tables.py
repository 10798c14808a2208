"""Tables of results as aligned text and as HTML."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from markupsafe import Markup

from seqrec.reports import html

LARGE = 1000
"""Numbers from here on are shown without decimals."""

Rows = Sequence[Mapping[str, Any]]


class Estimate(NamedTuple):
    """A mean with its uncertainty."""

    mean: float
    sd: float | None = None
    """Standard deviation over seeds."""
    interval: tuple[float, float] | None = None
    """95 % interval over users."""

    def format_uncertainty(self) -> list[str]:
        """The standard deviation and the interval, if known, as text."""
        spread = [] if self.sd is None else [f"± {cell(self.sd)}"]
        return spread if self.interval is None else [*spread, " to ".join(map(cell, self.interval))]


def cell(value: Any) -> str:
    """The text of a value: numbers below a thousand with four decimals, counts without."""
    if value is None:
        return ""
    if isinstance(value, Estimate):
        return cell(value.mean)
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < LARGE else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def without_equal_hit_rates(rows: Rows) -> list[dict[str, Any]]:
    """The rows without hit rates that equal the recall, as with one target per query."""
    keys = [key for key in list_columns(rows) if key.startswith("hit_rate@")]
    same = {
        key
        for key in keys
        if all(row.get(key) == row.get(key.replace("hit_rate", "recall")) for row in rows)
    }
    return [{key: row[key] for key in row if key not in same} for row in rows]


def list_columns(rows: Rows) -> list[str]:
    """All keys of the rows, in order of appearance."""
    return list(dict.fromkeys(key for row in rows for key in row))


def _is_numeric(rows: Rows, column: str) -> bool:
    return any(isinstance(row.get(column), int | float | Estimate) for row in rows)


def text_table(rows: Rows) -> str:
    """A text table: words left, numbers right, the uncertainty of an estimate beneath it."""
    columns = list_columns(rows)
    table = [columns]
    for row in rows:
        values = [row.get(column) for column in columns]
        stacks = [[cell(value), *_format_uncertainty(value)] for value in values]
        table += map(list, zip_longest(*stacks, fillvalue=""))
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    is_number = [_is_numeric(rows, column) for column in columns]
    lines = []
    for line in table:
        parts = zip(line, widths, is_number, strict=True)
        cells = [text.rjust(width) if right else text.ljust(width) for text, width, right in parts]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def html_table(rows: Rows) -> Markup:
    """An HTML table with the uncertainty of an estimate beneath it."""
    columns = list_columns(rows)
    numeric = {column for column in columns if _is_numeric(rows, column)}
    cells = [{column: _content(row.get(column)) for column in columns} for row in rows]
    return html.table(columns, numeric, cells)


def _content(value: Any) -> html.Cell:
    return cell(value), _format_uncertainty(value)


def _format_uncertainty(value: Any) -> list[str]:
    return value.format_uncertainty() if isinstance(value, Estimate) else []
