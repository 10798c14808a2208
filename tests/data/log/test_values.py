"""Numbers and times, against arithmetic and the standard library."""

from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from seqrec.data.log.times import parse_times
from seqrec.data.log.values import cast_if_numeric, parse_numbers, parse_order

NOON = datetime(2020, 1, 2, 12, 0, 0)
SECONDS = int(NOON.replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)]
)
@pytest.mark.parametrize("kind", [int, float, str])
def test_the_unit_of_a_time_is_judged_by_its_size(unit, factor, kind):
    parsed = parse_times(pl.Series([kind(SECONDS * factor)]))
    assert parsed.unit == unit
    assert parsed.values.to_list() == [NOON]


@pytest.mark.parametrize(
    "text",
    [
        "2020-01-02 12:00:00",
        "2020-01-02T12:00:00Z",
        "2020-01-02T14:00:00+02:00",
        "2020-01-02T12:00:00.000000",
        "2020-01-02T12:00",
        " 2020-01-02 12:00 ",
        "2020/01/02 12:00:00",
    ],
)
def test_dates_are_read_as_utc_in_the_usual_forms(text):
    assert parse_times(pl.Series([text])).values.to_list() == [NOON]


def test_forms_of_dates_may_be_mixed():
    parsed = parse_times(pl.Series(["2020-01-02", "2020-01-02T12:00:00Z", None, ""]))
    assert parsed.values.to_list() == [datetime(2020, 1, 2), NOON, None, None]
    assert (parsed.unit, parsed.first_bad_row) == ("date", None)


def test_typed_times_become_utc_without_a_zone():
    zoned = pl.Series([NOON.replace(tzinfo=timezone(timedelta(hours=2)))])
    zoned = zoned.dt.convert_time_zone("Asia/Tokyo")
    assert parse_times(zoned).values.to_list() == [NOON - timedelta(hours=2)]
    assert parse_times(pl.Series([date(2020, 1, 2)])).values.to_list() == [datetime(2020, 1, 2)]


@given(st.integers(-(10**10), 10**10))
def test_any_second_of_sixteen_centuries_comes_back(second):
    assume(not 19000101 <= second <= 21001231)  # calendar numbers
    parsed = parse_times(pl.Series([second]))
    assert parsed.values.cast(pl.Int64).to_list() == [second * 10**6]


def test_nanoseconds_keep_their_microseconds():
    parsed = parse_times(pl.Series([1_577_966_400_123_456_789]))
    assert parsed.values.cast(pl.Int64).to_list() == [1_577_966_400_123_456]


def test_a_time_outside_all_calendars_is_a_bad_value():
    assert parse_times(pl.Series([1, 2, 2**63 - 1])).first_bad_row == 2


@pytest.mark.parametrize(
    ("dtype", "far"),
    [
        (pl.Date, 2**31 - 1),
        (pl.Date, -(2**31)),
        (pl.Datetime("ms"), 2**63 - 1),
        (pl.Datetime("us"), 2**62),
        (pl.Datetime("us", "Europe/Berlin"), -(2**62)),
    ],
)
def test_a_date_that_no_calendar_names_is_a_bad_value(dtype, far):
    column = pl.Series([0, None, far], dtype=pl.Int64).cast(dtype)
    assert parse_times(column).first_bad_row == 2


def test_the_first_and_last_moment_of_the_calendar_are_read():
    ends = [datetime.min, datetime.max]
    assert parse_times(pl.Series(ends, dtype=pl.Datetime("us"))).values.to_list() == ends
    ends = [date.min, date.max]
    assert parse_times(pl.Series(ends)).values.dt.date().to_list() == ends
    nanoseconds = pl.Series([-(2**63) + 1, 2**63 - 1]).cast(pl.Datetime("ns"))
    assert parse_times(nanoseconds).first_bad_row is None


def test_numbers_with_missing_and_bad_values():
    parsed = parse_numbers(pl.Series(["1", " 2.5 ", "", None, "NaN", "1e3", "4,5"]))
    assert parsed.values.to_list() == [1.0, 2.5, None, None, None, 1000.0, None]
    assert parsed.first_bad_row == 6


def test_an_order_of_whole_numbers_is_exact():
    large = [2**60, 2**60 + 1]
    assert parse_order(pl.Series([str(number) for number in large])).values.to_list() == large
    assert parse_order(pl.Series(["1.5", "2"])).values.to_list() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (["1", "-2", None], [1, -2, None]),
        (["0.5", "1", ""], [0.5, 1.0, None]),
        (["007", "8"], ["007", "8"]),
        (["1", "x"], ["1", "x"]),
        (["", None], ["", None]),
    ],
)
def test_text_becomes_numbers_only_if_nothing_is_lost(text, expected):
    assert cast_if_numeric(pl.Series(text, dtype=pl.String)).to_list() == expected
