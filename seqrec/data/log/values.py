"""Values of a log: numbers, ratings and orders from text and numbers."""

from dataclasses import dataclass

import polars as pl

LEADING_ZERO = r"^-?0\d"


@dataclass(frozen=True)
class Parsed:
    """A column's values; null for missing and unreadable ones."""

    values: pl.Series
    unit: str | None = None
    """The unit of times: ``s``, ``ms``, ``us``, ``ns``, or ``date``."""
    first_bad_row: int | None = None
    """The first row whose value cannot be read."""
    doubt: str | None = None
    """Why the column may mean something else, as a clause whose subject is the column."""


def parse_numbers(raw: pl.Series) -> Parsed:
    """Parse numbers as Float64; NaN counts as missing, infinity as unreadable."""
    text, values = cast_text(raw, pl.Float64)
    is_bad = (values.is_null() & text.is_not_null()) | values.is_infinite()
    return Parsed(values.fill_nan(None), first_bad_row=first_true(is_bad))


def parse_order(raw: pl.Series) -> Parsed:
    """Parse sort keys: Int64 if all are integers, so that large ones stay distinct."""
    if not raw.dtype.is_float():
        text, integers = cast_text(raw, pl.Int64)
        if integers.null_count() == text.null_count():
            return Parsed(integers)
    return parse_numbers(raw)


def cast_if_numeric(text: pl.Series) -> pl.Series:
    """Return numbers if all the text is numbers and none has leading zeros, else the text."""
    if text.str.contains(LEADING_ZERO).any():
        return text
    for dtype in (pl.Int64, pl.Float64):
        stripped, numbers = cast_text(text, dtype)
        if numbers.null_count() == stripped.null_count() < len(text):
            return numbers
    return text


def cast_text(raw: pl.Series, dtype: type[pl.DataType]) -> tuple[pl.Series, pl.Series]:
    """Return the text without surrounding blanks and its numbers, null for other text."""
    numbers = raw.cast(dtype, strict=False)
    if raw.dtype != pl.String or numbers.null_count() == raw.null_count():
        return raw, numbers
    text = without_blanks(raw)
    return text, text.cast(dtype, strict=False)


def without_blanks(raw: pl.Series) -> pl.Series:
    """Return text without surrounding spaces; text of spaces alone becomes null."""
    text = raw.str.strip_chars()
    return text.set(text == "", None)


def first_true(mask: pl.Series) -> int | None:
    """Return the first row of a mask that is True, or None; null counts as False."""
    return int(mask.fill_null(False).arg_max() or 0) if mask.any() else None
