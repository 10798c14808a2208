"""Tables of results as aligned text and as HTML."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def cell(value: Any) -> str:
    """A value as a table shows it: shares to four places, counts with separators."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def columns_of(rows: Rows) -> list[str]:
    """Every key of the rows, in order of appearance."""
    return list(dict.fromkeys(key for row in rows for key in row))


def text_table(rows: Rows) -> str:
    """Aligned text: words to the left, numbers to the right."""
    columns = columns_of(rows)
    table = [columns, *([cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    is_number = [any(isinstance(row.get(c), int | float) for row in rows) for c in columns]
    lines = []
    for line in table:
        parts = zip(line, widths, is_number, strict=True)
        cells = [text.rjust(width) if right else text.ljust(width) for text, width, right in parts]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def html_table(rows: Rows) -> str:
    """An HTML table."""
    columns = columns_of(rows)
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell(row.get(c)))}</td>" for c in columns) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
