"""Times of a log: seconds to nanoseconds since 1970, calendar numbers, dates as text."""

from typing import get_args

import polars as pl

from seqrec.data.log.dates import TIME_TYPE, DayMonth, parse_dates
from seqrec.data.log.values import (
    Parsed,
    cast_text,
    first_true,
    parse_numbers,
    parse_order,
    without_blanks,
)

UNITS = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (0.0, "s"))
"""The smallest magnitude of a time since 1970 in each unit, compared with the column's median."""
PER_UNIT = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}
"""Factor and divisor that convert a unit to microseconds."""
UNIT_NAMES = {
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "ns": "nanoseconds since 1970",
    "date": "dates",
}
DAY_MICROSECONDS = 86_400_000_000
FIRST_TIME, LAST_TIME = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The first and last microsecond of the years 1 to 9999, which calendars can name."""
USUAL_SECONDS = 631_152_000, 4_102_444_800
"""1990 and 2100 in seconds since 1970: times outside of them stand out."""
SPREADSHEET_DAYS = 20_000, 80_000
"""Days since 1899-12-30 from 1954 to 2119, as spreadsheets number them."""
SPREADSHEET_FORMAT = "spreadsheet-days"
DAYS_TO_1970 = 25_569
"""1970-01-01 in days since 1899-12-30."""
CALENDAR_FORMATS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Formats of dates as whole numbers, by their number of digits."""


def parse_times(raw: pl.Series, format: str | None = None) -> Parsed:
    """Parse times as microseconds since 1970, UTC, from numbers, dates, or text of either.

    Args:
        raw: the column.
        format: ``s``, ``ms``, ``us`` or ``ns``, ``day-first``, ``month-first``,
            ``spreadsheet-days``, or a format of ``strptime``; None: as its values show.
    """
    if raw.dtype in (pl.Date, pl.Datetime):
        return _parse_temporal(raw)
    if format == SPREADSHEET_FORMAT:
        return _parse_spreadsheet_days(raw)
    if format is not None and format not in (*PER_UNIT, *get_args(DayMonth)):
        return _parse_format(raw, format)
    if raw.dtype == pl.String and format not in PER_UNIT:
        first = raw.filter(raw.str.contains(r"\S")).head(1)
        if cast_text(first, pl.Float64)[1].has_nulls():
            text = without_blanks(raw)
            times, doubt = parse_dates(text, format)
            return Parsed(times, "date", first_true(times.is_null() & text.is_not_null()), doubt)
    return _parse_numbers(raw, format if format in PER_UNIT else None)


def looks_like_times(sample: pl.Series) -> bool:
    """Return True if all values of a sample are times between 1990 and 2100."""
    if sample.dtype.is_nested() or sample.dtype in (pl.Boolean, pl.Object, pl.Binary, pl.Time):
        return False
    if not sample.dtype.is_temporal() and sample.cast(pl.String, strict=False).is_null().all():
        return False
    if sample.dtype == pl.Duration:
        return False
    parsed = parse_times(sample)
    if parsed.first_bad_row is not None or parsed.values.null_count() == len(sample):
        return False
    return count_unusual(parsed.values) == 0


def count_unusual(times: pl.Series) -> int:
    """Return the number of times before 1990 or after 2100."""
    low, high = (seconds * 1_000_000 for seconds in USUAL_SECONDS)
    return int((~times.cast(pl.Int64).is_between(low, high)).sum())


def _parse_temporal(raw: pl.Series) -> Parsed:
    """Parse dates and moments; their count of days or units is checked before polars reads it."""
    unit = raw.dtype.time_unit if isinstance(raw.dtype, pl.Datetime) else None
    factor, divisor = (DAY_MICROSECONDS, 1) if unit is None else PER_UNIT[unit]
    first = max(FIRST_TIME * divisor // factor, -(2**63))
    is_bad = ~raw.to_physical().is_between(first, min(LAST_TIME * divisor // factor, 2**63 - 1))
    if is_bad.any():
        unread = pl.Series(raw.name, [None], dtype=TIME_TYPE).new_from_index(0, len(raw))
        return Parsed(unread, "date", first_true(is_bad))
    if isinstance(raw.dtype, pl.Datetime) and raw.dtype.time_zone is not None:
        raw = raw.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return Parsed(raw.cast(TIME_TYPE), "date")


def _parse_format(raw: pl.Series, format: str) -> Parsed:
    text = without_blanks(raw.cast(pl.String))
    times = text.str.to_datetime(format, time_unit="us", strict=False)
    if isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None:
        times = times.dt.replace_time_zone(None)
    return Parsed(times, "date", first_true(times.is_null() & text.is_not_null()))


def _parse_spreadsheet_days(raw: pl.Series) -> Parsed:
    parsed = parse_numbers(raw)
    if parsed.first_bad_row is not None:
        return parsed
    since_1970 = (parsed.values - DAYS_TO_1970) * DAY_MICROSECONDS
    is_bad = ~since_1970.is_between(FIRST_TIME, LAST_TIME)
    if is_bad.any():
        return Parsed(parsed.values, "date", first_true(is_bad))
    return Parsed(since_1970.round().cast(pl.Int64).cast(TIME_TYPE), "date")


def _parse_numbers(raw: pl.Series, unit: str | None) -> Parsed:
    parsed = parse_order(raw)
    if parsed.first_bad_row is not None:
        return parsed
    values = parsed.values
    doubt = None
    if unit is None:
        if (calendar := _parse_calendar(values)) is not None:
            return calendar
        median = values.abs().median()
        size = float(median) if isinstance(median, int | float) else 0.0
        unit = next(unit for least, unit in UNITS if size >= least)
        doubt = _find_other_unit(values, unit) or _find_other_meaning(values)
    factor, divisor = PER_UNIT[unit]
    units = values.cast(pl.Float64) * factor / divisor
    is_bad = ~units.is_between(float(FIRST_TIME), float(LAST_TIME))
    if is_bad.any():
        return Parsed(values, unit, first_true(is_bad), doubt)
    if values.dtype == pl.Int64:
        times = values * factor // divisor
    else:
        times = (values * factor / divisor).round().cast(pl.Int64)
    return Parsed(times.cast(TIME_TYPE), unit, doubt=doubt)


def _parse_calendar(values: pl.Series) -> Parsed | None:
    """Return whole numbers that all are dates such as 20210308, or None."""
    least, most = values.min(), values.max()
    if not isinstance(least, int | float) or not isinstance(most, int | float) or least < 1:
        return None
    digits = len(str(int(least)))
    format = CALENDAR_FORMATS.get(digits)
    scale = 10 ** (digits - 8) if format else 0
    if format is None or not 19000101 * scale <= least <= most < 21010101 * scale:
        return None
    whole = values.cast(pl.Int64)
    if values.dtype != pl.Int64 and (whole != values).any():
        return None
    times = whole.cast(pl.String).str.to_datetime(format, time_unit="us", strict=False)
    return Parsed(times, "date") if times.null_count() == values.null_count() else None


def _find_other_unit(values: pl.Series, unit: str) -> str | None:
    """Return a sentence about values that are usual times in another unit only, or None."""
    is_usual = _is_usual(values, unit)
    if is_usual.all():
        return None
    others = values.filter(~is_usual)
    for other in PER_UNIT:
        in_other = others.filter(_is_usual(others, other)) if other != unit else others.clear()
        if len(in_other) and is_usual.any():
            one = values.filter(is_usual)[0]
            names = UNIT_NAMES[unit], UNIT_NAMES[other]
            return f"holds {names[0]} ({one:.0f}) and {names[1]} ({in_other[0]:.0f})"
    return None


def _find_other_meaning(values: pl.Series) -> str | None:
    """Return a clause on numbers that are days of a spreadsheet or years, or None."""
    known = values.drop_nulls()
    if known.is_empty():
        return None
    if known.is_between(*SPREADSHEET_DAYS).all():
        return f"may hold days of a spreadsheet ({known[0]:g}) or seconds since 1970"
    if known.is_between(1900, 2100).all() and (known % 1 == 0).all():
        return f"may hold years ({known[0]:g}) or seconds since 1970"
    return None


def _is_usual(values: pl.Series, unit: str) -> pl.Series:
    factor, divisor = PER_UNIT[unit]
    low, high = (seconds * 1_000_000 * divisor // factor for seconds in USUAL_SECONDS)
    return values.is_between(low, high)
