"""The columns of a log, from names and values; a doubt is refused with the flag that settles it."""

import polars as pl
import pytest

from seqrec.data.log.column_guess import assign_columns, guess_columns
from seqrec.data.log.columns import Columns
from seqrec.errors import SeqRecError

IDS = {"user_id": [1, 2], "item_id": [7, 8]}
SECONDS = [1_600_000_000, 1_600_000_100]
TIME_NAMES = """event_timestamp order_date purchase_date InvoiceDate transaction_date TRANSACTION_DT
    time_ms timestamp_ms ts_ms t_dat dt day created creation_date review_date date_added played_at
    listened_at start_time visit_time checkin_time utcTimestamp click_timestamp unix_timestamp
    server_timestamp_epoch_ms moment zeit""".split()


def guess(frame: dict, **requested) -> dict[str, str]:
    found = guess_columns("log", pl.DataFrame(frame), Columns(**requested))
    return found.columns.by_role()


@pytest.mark.parametrize("name", TIME_NAMES)
@pytest.mark.parametrize(
    "values",
    [
        SECONDS,
        [s * 1000 for s in SECONDS],
        [f"{s}" for s in SECONDS],
        [20210308, 20210309],
        ["2021-03-08 02:00:00 UTC", "2021-03-08 02:00:01 UTC"],
    ],
)
def test_a_time_is_found_by_its_values_under_any_name(name, values):
    assert guess({**IDS, "rating": [1, 5], name: values})["time"] == name


@pytest.mark.parametrize(
    "name", ["session_id", "order_number", "price", "release_date", "birthday", "updated_at"]
)
def test_a_column_of_something_else_is_no_time_until_it_is_named(name):
    frame = {**IDS, name: SECONDS}
    with pytest.raises(SeqRecError, match=f"--time {name}, or keep .* with --time none"):
        guess(frame)
    assert guess(frame, time=name)["time"] == name
    assert "time" not in guess(frame, time="none")
    assert guess(frame, order=name) == {"user": "user_id", "item": "item_id", "order": name}


def test_of_several_times_the_common_name_wins_and_others_are_noted():
    frame = pl.DataFrame({**IDS, "timestamp": SECONDS, "click_time": SECONDS})
    found = guess_columns("log", frame, Columns())
    assert found.columns.time == "timestamp" and "click_time" in found.notes[0]


def test_times_in_different_orders_are_refused_until_one_is_named():
    frame = {
        "user_id": [1, 1],
        "item_id": [7, 8],
        "timestamp": SECONDS,
        "event_time": SECONDS[::-1],
    }
    with pytest.raises(SeqRecError, match="'timestamp' and 'event_time' hold times in different"):
        guess(frame)
    assert guess(frame, time="event_time")["time"] == "event_time"
    del frame["event_time"]
    found = guess_columns("log", pl.DataFrame({**frame, "updated_at": SECONDS[::-1]}), Columns())
    assert found.columns.time == "timestamp" and "updated_at" in found.notes[0]


@pytest.mark.parametrize("name", ["position", "rank", "session_pos", "seq", "event_no"])
def test_an_order_that_the_file_does_not_follow_is_refused_until_it_is_named(name):
    frame = {"user_id": [1, 1, 2], "item_id": [7, 8, 9], name: [2, 1, 1]}
    with pytest.raises(SeqRecError, match=f"--order {name}, or keep .* with --time none"):
        guess(frame)
    assert guess(frame, order=name)["order"] == name
    assert "order" not in guess(frame, time="none")
    assert "order" not in guess({**frame, name: [1, 2, 1]})


def test_names_that_differ_in_case_alone_are_refused():
    with pytest.raises(SeqRecError, match="all look like the user's"):
        guess({"user_id": [1], "USER_ID": [2], "item_id": [3]})


def test_two_times_of_equal_rank_are_refused():
    frame = {**IDS, "start_time": SECONDS, "end_time": SECONDS}
    with pytest.raises(SeqRecError, match=r"\['start_time', 'end_time'\] hold times"):
        guess(frame)


def test_a_common_name_whose_values_are_no_times_gives_way_to_nothing_in_silence():
    with pytest.raises(SeqRecError, match="'created_on' holds times; choose with --time "):
        guess({**IDS, "time": [1, 2], "created_on": SECONDS})
    assert guess({**IDS, "time": [1, 2]})["time"] == "time"


def test_days_beside_times_of_the_day_are_refused_until_the_time_is_named():
    frame = {**IDS, "date": ["2021-03-08", "2021-03-08"], "time": ["10:30", "09:15:00"]}
    with pytest.raises(SeqRecError, match="join them in one column, or name --time date"):
        guess(frame)
    assert guess(frame, time="date")["time"] == "date"


def test_ids_are_found_by_the_words_of_their_names():
    frame = {"customer_uuid": ["a"], "shop_product_code": ["b"], "shop": ["c"]}
    assert guess(frame) == {"user": "customer_uuid", "item": "shop_product_code"}
    assert guess({"session_id": [1], "item_id": [2]})["user"] == "session_id"
    assert guess({"session_id": [1], "user_id": [3], "item_id": [2]})["user"] == "user_id"
    with pytest.raises(SeqRecError, match="all look like the item's; name one of"):
        guess({"user": [1], "movie_key": [2], "film_key": [3]})


def test_a_rating_of_words_is_no_rating_and_noted():
    found = guess_columns("log", pl.DataFrame({**IDS, "grade": ["A", "B"]}), Columns())
    assert found.columns.rating is None and "'grade' is no rating" in found.notes[0]


def unnamed(*rows: str) -> pl.DataFrame:
    cells = [row.split(",") for row in rows]
    return pl.DataFrame(cells, schema=[f"{n + 1}" for n in range(len(cells[0]))], orient="row")


@pytest.mark.parametrize(
    ("row", "roles"),
    [
        ("1,10", "user item"),
        ("1,10,4.5", "user item rating"),
        ("1,10,1600000000", "user item time"),
        ("1,10,2021-03-08T05:28:55Z", "user item time"),
        ("1,10,4,1600000000", "user item rating time"),
        ("A1,0321732944,5.0,1341100800", "user item rating time"),
        ("1,10,4,20210308", "user item rating time"),
    ],
)
def test_positions_decide_where_values_fit(row, roles):
    found = assign_columns("log", unnamed(row), Columns())
    assert list(found.columns.by_role()) == [
        role for role in ("user", "item", "time", "rating") if role in roles.split()
    ]
    assert found.columns.by_role() == {
        role: str(position) for position, role in enumerate(roles.split(), 1)
    }


@pytest.mark.parametrize(
    "row",
    [
        "41,2021-03-11T05:28:55.573Z,900007,0",
        "1,10,1600000300,1",
        "1600000300,1,10,1",
        "2021-03-08,1,10",
        "1,2021-03-08",
        "1,10,good",
        "1,10,4,1600000000,x",
    ],
)
def test_positions_that_do_not_fit_are_refused(row):
    with pytest.raises(SeqRecError, match="has no header, .* name them, as in --user 1 --item 2"):
        assign_columns("log", unnamed(row), Columns())


def test_named_columns_settle_a_log_without_a_header():
    frame = unnamed("1,10,1600000300,1")
    found = assign_columns("log", frame, Columns(user="1", item="2", time="3", rating="4"))
    assert found.columns == Columns("1", "2", "3", "4")
    found = assign_columns("log", unnamed("41,2021-03-11,9,0"), Columns("1", "3", "2"))
    assert found.columns == Columns("1", "3", "2")
