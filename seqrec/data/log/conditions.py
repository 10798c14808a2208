"""``--where``: the rows of a log that fulfil an SQL expression."""

import itertools
import re

import polars as pl

from seqrec.data.log.values import cast_if_numeric
from seqrec.data.read_errors import first_line
from seqrec.errors import SeqRecError

_TEXT = "\0text"
"""Suffix of a column's text while the condition sees its numbers."""
_QUOTED = r"""('[^']*'|"[^"]*")"""
_WORD = r"(?<![\w.])[^\W\d]\w*(?![\w.])(?!\s*\()"
_OPERATORS = frozenset(
    "and or not in is like ilike rlike between null true false case when then else end".split()
)
_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


def keep_rows(log: pl.LazyFrame, condition: str, *, is_text: bool) -> pl.LazyFrame:
    """Return the rows that fulfil a condition.

    In a log of text, a column whose values are all numbers is compared as numbers, unless the
    condition compares it with text.

    Args:
        log: a row an interaction.
        condition: an SQL expression of polars, such as ``event == 'watch' and rating > 3``.
        is_text: True if every column is text, numbers included.

    Raises:
        SeqRecError: no SQL expression, an unknown column, or an expression of another type than
            true or false.
    """
    option = f"--where {condition}"
    names = log.collect_schema().names()
    try:
        expression = pl.sql_expr(_quote_names(condition, names))
        used = list(dict.fromkeys(expression.meta.root_names()))
    except _ERRORS as error:
        raise SeqRecError(f"{option}: no SQL expression: {first_line(error)}") from error
    for name in used:
        if name not in names:
            raise SeqRecError(
                f"{option}: no such column: {name}; the log has {names} (text stands in single "
                "quotes)"
            )
    types = _find_numbers(log, used) if is_text else {}
    fault = ""
    for count in range(len(types), -1, -1):
        for chosen in itertools.combinations(types, count):
            typed = _as_numbers(log, {name: types[name] for name in chosen})
            try:
                empty = typed.collect_schema().to_frame()
                (dtype,) = empty.select(expression).dtypes
            except (*_ERRORS, ValueError) as error:
                fault = fault or first_line(error)
                continue
            if dtype != pl.Boolean:
                raise SeqRecError(f"{option}: gives {dtype}, not true or false for a row")
            return _as_text(typed.filter(expression), chosen, names)
    raise SeqRecError(f"{option}: {fault}")


def _quote_names(condition: str, names: list[str]) -> str:
    """Quote the column names of a condition: ``user`` and others are words of SQL."""
    columns = {name for name in names if name.lower() not in _OPERATORS}

    def quote(match: re.Match[str]) -> str:
        return f'"{match[0]}"' if match[0] in columns else match[0]

    parts = re.split(_QUOTED, condition)
    return "".join(
        part if index % 2 else re.sub(_WORD, quote, part) for index, part in enumerate(parts)
    )


def _find_numbers(log: pl.LazyFrame, names: list[str]) -> dict[str, pl.DataType]:
    """Return the type of every column whose values are all numbers."""
    values = log.select(names).collect(engine="streaming") if names else pl.DataFrame()
    casts = {name: cast_if_numeric(values[name]).dtype for name in names}
    return {name: dtype for name, dtype in casts.items() if dtype != pl.String}


def _as_numbers(log: pl.LazyFrame, types: dict[str, pl.DataType]) -> pl.LazyFrame:
    columns = [pl.col(name).alias(name + _TEXT) for name in types]
    numbers = []
    for name, dtype in types.items():
        text = pl.col(name).str.strip_chars()
        numbers.append(pl.when(text != "").then(text).cast(dtype).alias(name))
    return log.with_columns(*columns, *numbers)


def _as_text(log: pl.LazyFrame, chosen: tuple[str, ...], names: list[str]) -> pl.LazyFrame:
    restored = [pl.col(name + _TEXT).alias(name) if name in chosen else name for name in names]
    return log.select(restored)
