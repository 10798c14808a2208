"""Splits at dates and sliding windows, by hand and against the calendar of another library."""

import numpy as np
import polars as pl
import pytest

from seqrec.data.splits import TEST, TRAIN, VALIDATION, parse_split, parse_splits
from seqrec.errors import SeqRecError

DAY = 86_400


def days_log(num_days=100, start="2024-01-01"):
    """A log of one user an hour-0 event each day, and of another at noon."""
    begin = int(np.datetime64(start, "s").astype(np.int64))
    days = np.repeat(np.arange(num_days), 2)
    noon = np.tile([0, DAY // 2], num_days)
    return pl.DataFrame(
        {
            "user_id": np.tile(["a", "b"], num_days),
            "item_id": [f"i{day % 7}" for day in days],
            "timestamp": begin + days * DAY + noon,
        }
    )


def parts(found):
    """The first and last time of each part."""
    table = found.table
    return {
        part: table.filter(pl.col("split") == part)["time"]
        .dt.to_string("%m-%dT%H")
        .sort()
        .to_list()
        for part in (TRAIN, VALIDATION, TEST)
    }


def test_two_dates_are_the_first_times_of_validation_and_test(interactions):
    found = interactions(days_log(), split_by="date:2024-02-01,2024-03-01T12:00")
    split = parts(found)
    assert (split[TRAIN][0], split[TRAIN][-1]) == ("01-01T00", "01-31T12")
    assert (split[VALIDATION][0], split[VALIDATION][-1]) == ("02-01T00", "03-01T00")
    assert (split[TEST][0], split[TEST][-1]) == ("03-01T12", "04-09T12")
    assert found.cuts["test_from"].startswith("2024-03-01T12:00")


def test_one_date_validates_on_as_much_before_it_as_a_quantile_would(interactions):
    found = interactions(days_log(), split_by="date:2024-03-01")
    assert sum(map(len, parts(found).values())) == 200
    assert len(parts(found)[VALIDATION]) == 10  # 5 % of all rows
    assert parts(found)[TEST][0] == "03-01T00" and len(parts(found)[TEST]) == 2 * 40
    quantile = interactions(days_log(), split_by="global-time:0.6")
    assert found.table.equals(quantile.table)


def test_rows_from_a_third_date_on_are_left_out_and_counted(interactions):
    found = interactions(days_log(), split_by="date:2024-02-01,2024-03-01,2024-03-08")
    assert parts(found)[TEST][-1] == "03-07T12" and found.counts["after_the_end"] == 2 * 33


def test_a_date_with_a_zone_is_that_instant(interactions):
    found = interactions(days_log(), split_by="date:2024-03-01T01:00:00+01:00")
    assert found.table.equals(interactions(days_log(), split_by="date:2024-03-01").table)


WRONG = {
    "date:": "no date",
    "date:2024-13-01": "'2024-13-01' is no date",
    "date:tomorrow": "no date",
    "date:2024-02-01,2024-02-01": "must ascend",
    "date:2024-01-01,2024-01-02,2024-01-03,2024-01-04": "one to three",
    "windows:2024-03-01": "windows:START,LENGTH,COUNT",
    "windows:2024-03-01,7,4": "windows:START,LENGTH,COUNT",
    "windows:2024-03-01,7d,0": "windows:START,LENGTH,COUNT",
    "windows:9999-12-01,99w,4": "year 9999",
    "windows:soon,7d,4": "'soon' is no date",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_other_texts_are_refused_in_one_line(text, message):
    with pytest.raises(SeqRecError, match=message) as mistake:
        parse_splits(text)
    assert "\n" not in str(mistake.value)


def test_a_date_outside_the_log_is_refused_with_its_times(interactions):
    with pytest.raises(SeqRecError, match="nothing to test on; the times are 2024-01-01"):
        interactions(days_log(), split_by="date:2024-05-01")
    with pytest.raises(SeqRecError, match="nothing to train on"):
        interactions(days_log(), split_by="date:2024-01-01")


def test_windows_test_one_span_after_the_other():
    splits = parse_splits("windows:2024-02-28,1d,3", targets="successive")
    assert [split.text for split in splits] == [
        "date:2024-02-27,2024-02-28,2024-02-29",
        "date:2024-02-28,2024-02-29,2024-03-01",
        "date:2024-02-29,2024-03-01,2024-03-02",
    ]
    assert all(split.targets == "successive" for split in splits)
    assert parse_splits("windows:2024-02-28T06:00,12h,1")[0].text == (
        "date:2024-02-27T18:00:00,2024-02-28T06:00:00,2024-02-28T18:00:00"
    )
    assert parse_splits("leave-one-out") == [parse_split("leave-one-out")]
