"""Dates as text, in the spellings of ISO 8601, ctime, e-mail, spreadsheets and databases."""

from typing import Literal

import polars as pl

TIME_TYPE = pl.Datetime("us")
READ_SPELLINGS = (
    "2021-03-08 06:10:05, 20210308T061005Z, 8 Mar 2021, Mon Mar 08 06:10:05 +0000 2021, "
    "31/03/2021 6:10 PM, seconds to nanoseconds since 1970"
)
"""Examples for the message about a time that cannot be read."""

DayMonth = Literal["day-first", "month-first"]

_SAMPLE_ROWS = 1000
_ISO_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M",
)
_DATES = ("%Y-%m-%d", "%B %d %Y", "%d %B %Y", "%Y %B %d")
_CLOCKS = ("", "%H:%M", "%H:%M:%S%.f", "%H:%M%#z", "%H:%M:%S%.f%#z", "%I:%M %p", "%I:%M:%S%.f %p")
_FORMATS = tuple(f"{date} {clock}".strip() for date in _DATES for clock in _CLOCKS)
_NUMERIC_DATE = r"^(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})\b"
_TIDY = (
    (r"\s+", " "),
    (r" ?\(.*\)$", ""),
    (r"(?i)^(mon|tue|tues|wed|wednes|thu|thurs?|fri|sat|satur|sun)(day)?\.?,? ", ""),
    (r"(?i) ?(utc|gmt)([+-]\d)", "$2"),
    (r"(?i) ?(utc|gmt)\b", "+00:00"),
    (r"(\d)[Zz]$", "$1+00:00"),
    (r"^(\d{4})(\d{2})(\d{2})[Tt ](\d{2})(\d{2})(\d{2})", "$1-$2-$3 $4:$5:$6"),
    (r"^(\d{4})(\d{2})(\d{2})[Tt ](\d{2})(\d{2})\b", "$1-$2-$3 $4:$5"),
    (r"^(\d{4})(\d{2})(\d{2})($| )", "$1-$2-$3$4"),
    (r"(:\d{2}),(\d)", "$1.$2"),
    (r"(\d)(st|nd|rd|th)\b", "$1"),
    (",", ""),
    (r"(\d)[Tt](\d)", "$1 $2"),
    (r"[-/ ]([A-Za-z]{3,9})\.?[-/ ]", " $1 "),
    (r"^([A-Za-z]+)\.? (\d{1,2}) (\d{1,2}:\S+) ?([+-]\d{2}:?\d{2})? ?(\d{4})$", "$1 $2 $5 $3$4"),
    (r"(?i) ?([ap])\.?m\.?$", " ${1}M"),
    (r"(:\S+) ([+-]\d{2})", "$1$2"),
    (r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})\b", "$1-$2-$3"),
    (r"^(\d{1,2}) (\d{1,2}) (\d{4})\b", "$3-$1-$2"),
)
"""Replacements that bring a spelling into one of the formats, in their order."""
_READABLE = r"^(\d{4}-|\d{4} [A-Za-z]|[A-Za-z]+ \d|\d{1,2} [A-Za-z])"


def parse_dates(text: pl.Series, first: str | None = None) -> tuple[pl.Series, str | None]:
    """Return the times of dates as text, UTC, null for unreadable ones, and a doubt.

    Args:
        text: the column.
        first: ``day-first`` or ``month-first`` in dates such as ``08/03/2021``; None: the column
            decides it by a number above 12, which is a day. The doubt says why it cannot; the
            month is then read first.
    """
    tidy = text.str.strip_chars()
    sample = tidy.drop_nulls().head(_SAMPLE_ROWS)
    times = pl.Series(text.name, [None], dtype=TIME_TYPE).new_from_index(0, len(text))
    if sample.str.contains(r"^\d{4}-\d{2}-\d{2}").any():
        iso = tidy.str.replace(r"^(\S{10})[Tt]", "$1 ").str.replace(r"[Zz]$", "+00:00")
        times = _try_formats(iso, times, [f for f in _ISO_FORMATS])
    is_left = times.is_null() & tidy.is_not_null()
    if not is_left.any():
        return times, None
    left = tidy.filter(is_left)
    for pattern, replacement in _TIDY:
        left = left.str.replace_all(pattern, replacement)
    doubt = None
    if first is None:
        first, doubt = _decide_day_month(left)
    if first is not None:
        order = "$3-$2-$1" if first == "day-first" else "$3-$1-$2"
        left = left.str.replace(_NUMERIC_DATE, order)
    left = left.set(~left.str.contains(_READABLE), None)
    read = pl.Series(text.name, [None], dtype=TIME_TYPE).new_from_index(0, len(left))
    read = _try_formats(left, read, _hits_first(left))
    indices = is_left.arg_true()
    return times.scatter(indices, read), doubt


def _hits_first(left: pl.Series) -> list[str]:
    """Return the formats, those first that read most of the first rows."""
    sample = left.drop_nulls().head(_SAMPLE_ROWS)
    hits = {one: _read(sample, one).count() for one in _FORMATS}
    return sorted(_FORMATS, key=lambda one: -hits[one])


def _try_formats(text: pl.Series, times: pl.Series, formats: list[str]) -> pl.Series:
    for format in formats:
        missing = times.is_null() & text.is_not_null()
        if not missing.any():
            break
        times = times.zip_with(~missing, _read(text, format))
    return times


def _read(text: pl.Series, format: str) -> pl.Series:
    parsed = text.str.to_datetime(format, time_unit="us", strict=False)
    if isinstance(parsed.dtype, pl.Datetime) and parsed.dtype.time_zone is not None:
        parsed = parsed.dt.replace_time_zone(None)
    return parsed.set(parsed.dt.year() < 1000, None)


def _decide_day_month(text: pl.Series) -> tuple[DayMonth | None, str | None]:
    """Return which comes first in dates of numbers that end with the year, and a doubt."""
    fields = text.drop_nulls().str.extract_groups(_NUMERIC_DATE).struct.unnest()
    fields = fields.drop_nulls()
    if fields.is_empty():
        return None, None
    first, second = (fields[name].cast(pl.Int32) for name in ("1", "2"))
    if (first > 12).any() and (second > 12).any():
        return "month-first", "holds dates with the day first and dates with the month first"
    if (first > 12).any():
        return "day-first", None
    if (second > 12).any() or (first == second).all():
        return "month-first", None
    example = text.drop_nulls().filter(text.drop_nulls().str.contains(_NUMERIC_DATE))[0]
    return "month-first", f"may hold the day or the month first ({example})"
