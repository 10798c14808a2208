"""Parts of a self-contained HTML page, without scripts, fonts or other files.

The templates escape every text; only what they return themselves (``Markup``) is HTML.
"""

from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

Cell = tuple[str, Sequence[str]]
"""The text of a cell, and the lines of its uncertainty."""


@cache
def _open_templates() -> Environment:
    return Environment(
        loader=PackageLoader("seqrec.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=False,
    )


def _render(macro: str, *values: Any) -> Markup:
    """Return a macro of ``parts.html`` with values."""
    return getattr(_open_templates().get_template("parts.html").module, macro)(*values)


def heading(text: str) -> Markup:
    return _render("heading", text)


def note(text: str) -> Markup:
    return _render("note", text)


def warning(text: str) -> Markup:
    """A highlighted warning about the results."""
    return _render("warning", text)


def bullets(texts: Sequence[str]) -> Markup:
    return _render("bullets", texts)


def image(png: bytes, description: str) -> Markup:
    return _render("image", b64encode(png).decode(), description)


def preformatted(text: str) -> Markup:
    return _render("preformatted", text)


def details(summary: str, *parts: str) -> Markup:
    """Parts that are folded until the reader opens them."""
    return _render("details", summary, parts)


def wide(table: str) -> Markup:
    """A table that scrolls sideways on a narrow screen."""
    return _render("wide", table)


def table(
    columns: Sequence[str], numeric: Collection[str], rows: Sequence[Mapping[str, Cell]]
) -> Markup:
    """A table whose cells may have lines beneath them.

    Args:
        columns: names of all columns.
        numeric: columns of numbers, which stand on the right.
        rows: a cell for every column.
    """
    return _render("table", columns, numeric, rows)


def page(title: str, parts: Sequence[str]) -> str:
    """The page that consists of these parts; a part that is no ``Markup`` is text."""
    return _open_templates().get_template("page.html").render(title=title, parts=parts)
