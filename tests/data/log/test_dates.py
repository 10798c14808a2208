"""Dates in the spellings that programs write, against the standard library."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import polars as pl
import pytest

from seqrec.data.log.times import looks_like_times, parse_times

MOMENT = datetime(2021, 3, 18, 6, 10, 5)

SPELLINGS = {
    "iso": "%Y-%m-%d %H:%M:%S",
    "iso with T and Z": "%Y-%m-%dT%H:%M:%SZ",
    "iso with UTC": "%Y-%m-%d %H:%M:%S UTC",
    "iso with a zone of hours": "%Y-%m-%d %H:%M:%S+00",
    "comma fraction": "%Y-%m-%d %H:%M:%S,000",
    "compact": "%Y%m%dT%H%M%SZ",
    "slashes": "%Y/%m/%d %H:%M:%S",
    "ctime": "%a %b %d %H:%M:%S %Y",
    "ctime with a zone": "%a %b %d %H:%M:%S +0000 %Y",
    "java": "%a %b %d %H:%M:%S UTC %Y",
    "javascript": "%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)",
    "oracle": "%d-%b-%Y %H:%M:%S",
    "american": "%m/%d/%Y %I:%M:%S %p",
    "european": "%d.%m.%Y %H:%M:%S",
    "words": "%B %d, %Y %H:%M:%S",
    "long": "%A, %d %B %Y %H:%M:%S",
    "number": "%Y%m%d%H%M%S",
}


@pytest.mark.parametrize("format", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_moment_is_the_same_in_every_spelling(format):
    parsed = parse_times(pl.Series([MOMENT.strftime(format)]))
    assert (parsed.values.to_list(), parsed.first_bad_row, parsed.doubt) == ([MOMENT], None, None)
    assert looks_like_times(pl.Series([MOMENT.strftime(format)]))


def test_mail_dates_are_read():
    text = format_datetime(MOMENT.replace(tzinfo=UTC))
    assert parse_times(pl.Series([text])).values.to_list() == [MOMENT]


@pytest.mark.parametrize("format", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_whole_column_comes_back_in_every_spelling(format):
    draw = random.Random(0)
    moments = [datetime(1995, 1, 1) + timedelta(seconds=draw.randrange(10**9)) for _ in range(200)]
    parsed = parse_times(pl.Series([moment.strftime(format) for moment in moments]))
    assert parsed.values.to_list() == moments and parsed.doubt is None


@pytest.mark.parametrize(
    "text", ["10:30", "2021-W10-1", "3/8/21", "2021-13-01", "31/04/2021", "soon"]
)
def test_what_is_no_moment_is_not_read(text):
    assert parse_times(pl.Series([text])).first_bad_row == 0
    assert not looks_like_times(pl.Series([text]))


def test_the_column_decides_between_day_and_month():
    assert parse_times(pl.Series(["31/03/2021", "01/02/2021"])).values.to_list() == [
        datetime(2021, 3, 31),
        datetime(2021, 2, 1),
    ]
    assert parse_times(pl.Series(["3/31/2021", "1/2/2021"])).values.to_list() == [
        datetime(2021, 3, 31),
        datetime(2021, 1, 2),
    ]


def test_an_undecided_column_is_doubtful_until_the_order_is_named():
    column = pl.Series(["08/03/2021", "09/03/2021"])
    assert "day or the month first (08/03/2021)" in str(parse_times(column).doubt)
    first = parse_times(column, "day-first")
    assert (first.doubt, first.values[0]) == (None, datetime(2021, 3, 8))
    assert parse_times(column, "month-first").values[0] == datetime(2021, 8, 3)
    both = pl.Series(["31/03/2021", "3/31/2021"])
    assert "day first and dates with the month first" in str(parse_times(both).doubt)


def test_a_format_of_strptime_reads_everything_else():
    parsed = parse_times(pl.Series(["8.3.21", "", None, "x"]), "%d.%m.%y")
    assert parsed.values.to_list() == [datetime(2021, 3, 8), None, None, None]
    assert parsed.first_bad_row == 3
    assert parse_times(pl.Series([2103081005]), "%y%m%d%H%M").values[0] == datetime(
        2021, 3, 8, 10, 5
    )


def test_two_units_in_a_column_are_doubtful_until_one_is_named():
    seconds, millis = 1_600_000_000, 1_600_000_000_000
    for column in (
        [seconds, millis, seconds],
        [millis, seconds, millis],
        [f"{seconds}", f"{millis}"],
    ):
        doubt = str(parse_times(pl.Series(column)).doubt)
        assert "seconds since 1970 (1600000000)" in doubt and "(1600000000000)" in doubt
    assert parse_times(pl.Series([seconds, 5, 10**10])).doubt is None
    named = parse_times(pl.Series([millis, seconds * 1000]), "s")
    assert named.doubt is None and named.first_bad_row == 0  # the year 52,671
    named = parse_times(pl.Series([seconds, seconds * 100]), "s")
    assert named.doubt is None and named.values[0] == datetime.fromtimestamp(seconds, UTC).replace(
        tzinfo=None
    )


def test_days_of_a_spreadsheet_and_years_are_doubtful_until_named():
    days = pl.Series([44263.25, 44262.5])
    assert "days of a spreadsheet (44263.2" in str(parse_times(days).doubt)
    assert parse_times(days, "spreadsheet-days").values.to_list() == [
        datetime(2021, 3, 8, 6),
        datetime(2021, 3, 7, 12),
    ]
    years = pl.Series(["2020", "2019"])
    assert "years (2020)" in str(parse_times(years).doubt)
    assert parse_times(years, "%Y").values.to_list() == [datetime(2020, 1, 1), datetime(2019, 1, 1)]
    assert parse_times(pl.Series([1, 2, 3000])).doubt is None


def test_numbers_that_are_dates_are_read_as_such():
    assert parse_times(pl.Series([20210318, 19991231])).values.to_list() == [
        datetime(2021, 3, 18),
        datetime(1999, 12, 31),
    ]
    assert parse_times(pl.Series(["202103180610"])).values.to_list() == [
        datetime(2021, 3, 18, 6, 10)
    ]
    assert parse_times(pl.Series([20210318, 20211318])).unit == "s"


@pytest.mark.parametrize("values", [[1, 2, 3], ["a"], [None], [True], [[1]], ["", None], [1.5e8]])
def test_other_values_do_not_look_like_times(values):
    assert not looks_like_times(pl.Series(values))
