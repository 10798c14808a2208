"""Literals and conditions of SQL."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from seqrec.retrieval.stores.columns import ID
from seqrec.retrieval.stores.interface import Request


class Tests(NamedTuple):
    """The tests of a column in a dialect, with a place for its name and one for a value."""

    is_equal: str
    contains: str
    is_none_of: str
    percent: str = "%"
    """The percent sign of a name, which some clients read as the start of a place."""


def quote_text(text: str) -> str:
    """Return a text literal; quotes are doubled, nothing else has a meaning in it."""
    return "'" + text.replace("'", "''") + "'"


def quote_name(name: str) -> str:
    """Return a quoted name of a table or column."""
    return '"' + name.replace('"', '""') + '"'


def build_where(
    tests: Tests, columns: Mapping[str, str], request: Request
) -> tuple[str, list[Any]]:
    """Return the ``WHERE`` of a search, with a blank at its end, and the values of its places.

    Args:
        tests: tests of the dialect.
        columns: types of the columns.
        request: the search; nothing is returned for one without conditions.
    """
    conditions: list[str] = []
    values: list[Any] = []
    for column, value in request.where.items():
        test = tests.contains if columns[column] == "texts" else tests.is_equal
        conditions.append(test.format(quote_name(column).replace("%", tests.percent)))
        values.append(value)
    if request.exclude:
        conditions.append(tests.is_none_of.format(quote_name(ID)))
        values.append(list(request.exclude))
    return (f"WHERE {' AND '.join(conditions)} " if conditions else ""), values
