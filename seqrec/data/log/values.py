"""Values of a log: times, ratings and orders from text, numbers and dates."""

from dataclasses import dataclass

import polars as pl

TIME_TYPE = pl.Datetime("us")
UNITS = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (0.0, "s"))
"""The smallest magnitude of a time since 1970 in each unit, compared with the column's median."""
PER_UNIT = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}
"""Factor and divisor that convert a unit to microseconds."""
MOST_MICROSECONDS = 2**62
DATE_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d",
    "%m %d, %Y",
)
"""Formats in the order of trial; the ``T`` of ISO 8601 is read as a space, ``Z`` as ``+00:00``."""
LEADING_ZERO = r"^-?0\d"


@dataclass(frozen=True)
class Parsed:
    """A column's values; null for missing and unreadable ones."""

    values: pl.Series
    unit: str | None = None
    """The unit of times: ``s``, ``ms``, ``us``, ``ns``, or ``date``."""
    first_bad_row: int | None = None
    """The first row whose value cannot be read."""


def parse_numbers(raw: pl.Series) -> Parsed:
    """Parse numbers as Float64; NaN counts as missing, infinity as unreadable."""
    text, values = _cast(raw, pl.Float64)
    is_bad = (values.is_null() & text.is_not_null()) | values.is_infinite()
    return Parsed(values.fill_nan(None), first_bad_row=_first(is_bad))


def parse_order(raw: pl.Series) -> Parsed:
    """Parse sort keys: Int64 if all are integers, so that large ones stay distinct."""
    if not raw.dtype.is_float():
        text, integers = _cast(raw, pl.Int64)
        if integers.null_count() == text.null_count():
            return Parsed(integers)
    return parse_numbers(raw)


def parse_times(raw: pl.Series) -> Parsed:
    """Parse times as microseconds since 1970, UTC, from numbers, dates, or text of either."""
    if raw.dtype == pl.Date:
        return Parsed(raw.cast(TIME_TYPE), "date")
    if isinstance(raw.dtype, pl.Datetime):
        if raw.dtype.time_zone is not None:
            raw = raw.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return Parsed(raw.cast(TIME_TYPE), "date")
    if raw.dtype == pl.String:
        first = raw.filter(raw.str.contains(r"\S")).head(1)
        if _cast(first, pl.Float64)[1].has_nulls():
            return _parse_dates(_without_blanks(raw))
    return _parse_epochs(raw)


def _parse_epochs(raw: pl.Series) -> Parsed:
    parsed = parse_order(raw)
    if parsed.first_bad_row is not None:
        return parsed
    values = parsed.values
    median = values.abs().median()
    size = float(median) if isinstance(median, int | float) else 0.0
    unit = next(unit for least, unit in UNITS if size >= least)
    factor, divisor = PER_UNIT[unit]
    is_bad = values.cast(pl.Float64).abs() > MOST_MICROSECONDS / factor * divisor
    if is_bad.any():
        return Parsed(values, unit, _first(is_bad))
    if values.dtype == pl.Int64:
        times = values * factor // divisor
    else:
        times = (values * factor / divisor).round().cast(pl.Int64)
    return Parsed(times.cast(TIME_TYPE), unit)


def _parse_dates(text: pl.Series) -> Parsed:
    tidy = (
        text.str.strip_chars().str.replace(r"^(\S{10})[Tt]", "$1 ").str.replace(r"[Zz]$", "+00:00")
    )
    times = pl.Series(text.name, [None], dtype=TIME_TYPE).new_from_index(0, len(text))
    for format in DATE_FORMATS:
        missing = times.is_null() & tidy.is_not_null()
        if not missing.any():
            break
        parsed = tidy.str.to_datetime(format, time_unit="us", strict=False)
        if isinstance(parsed.dtype, pl.Datetime) and parsed.dtype.time_zone is not None:
            parsed = parsed.dt.replace_time_zone(None)
        times = times.zip_with(~missing, parsed)
    return Parsed(times, "date", _first(times.is_null() & tidy.is_not_null()))


def cast_if_numeric(text: pl.Series) -> pl.Series:
    """Return numbers if all the text is numbers and none has leading zeros, else the text."""
    if text.str.contains(LEADING_ZERO).any():
        return text
    for dtype in (pl.Int64, pl.Float64):
        stripped, numbers = _cast(text, dtype)
        if numbers.null_count() == stripped.null_count() < len(text):
            return numbers
    return text


def _cast(raw: pl.Series, dtype: type[pl.DataType]) -> tuple[pl.Series, pl.Series]:
    """Return the text without surrounding blanks and its numbers, null for other text."""
    numbers = raw.cast(dtype, strict=False)
    if raw.dtype != pl.String or numbers.null_count() == raw.null_count():
        return raw, numbers
    text = _without_blanks(raw)
    return text, text.cast(dtype, strict=False)


def _without_blanks(raw: pl.Series) -> pl.Series:
    """Return text without surrounding spaces; text of spaces alone becomes null."""
    text = raw.str.strip_chars()
    return text.set(text == "", None)


def _first(mask: pl.Series) -> int | None:
    """Return the first row of a mask that is True, or None; null counts as False."""
    return int(mask.fill_null(False).arg_max() or 0) if mask.any() else None
