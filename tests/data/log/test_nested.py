"""A row a session becomes a row an interaction; conditions keep some of the rows."""

import json

import polars as pl
import pytest

from seqrec.data.log.columns import Columns
from seqrec.data.log.sources import read_source
from seqrec.errors import SeqRecError

SESSIONS = pl.DataFrame(
    {"user": [1, 2, 3], "items": [[5, 6], [], [7]], "timestamps": [[20, 10], [], [30]]}
)


@pytest.mark.parametrize("kind", ["frame", "pandas", "parquet", "ndjson", "csv"])
def test_lists_of_items_are_read_in_order_with_the_lists_beside_them(tmp_path, kind):
    source = tmp_path / f"log.{kind}"
    if kind == "csv":
        SESSIONS.with_columns(
            pl.col("items", "timestamps").map_elements(
                lambda cell: json.dumps(cell.to_list()), return_dtype=pl.String
            )
        ).write_csv(source)
    elif kind in ("frame", "pandas"):
        source = SESSIONS if kind == "frame" else SESSIONS.to_pandas()
    else:
        getattr(SESSIONS, f"write_{kind}")(source)
    log = read_source(source)
    assert log.columns == Columns(user="user", item="items", time="timestamps")
    table = log.collect().cast(pl.String)
    assert table.rows() == [("1", "5", "20"), ("1", "6", "10"), ("3", "7", "30")]
    assert log.where(2).endswith({"csv": "line 4", "ndjson": "line 3"}.get(kind, "row 3"))


@pytest.mark.parametrize("cell", ["[a, b]", "['a', 'b']", '["a", "b"]', "[a b]"])
def test_lists_in_text_of_several_notations(tmp_path, cell):
    pl.DataFrame({"user": ["u"], "item": [cell]}).write_csv(tmp_path / "log.csv")
    assert read_source(tmp_path / "log.csv").collect().rows() == [("u", "a"), ("u", "b")]


def test_lists_of_events_become_columns(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text(
        '{"session": 1, "events": [{"aid": 5, "ts": 30, "type": "clicks"}, {"aid": 6, "ts": 20}]}\n'
        '{"session": 2, "events": []}\n'
        '{"session": 3, "events": [{"aid": 123456789012345678901, "ts": 5}]}\n'
    )
    log = read_source(file, columns=Columns(user="session", item="aid", time="ts"))
    assert log.collect().select("session", "aid", "ts", "type").rows() == [
        ("1", "5", 30, "clicks"),
        ("1", "6", 20, None),
        ("3", "123456789012345678901", 5, None),
    ]
    assert log.where(2) == f"{file}: line 3"


def test_lists_of_unequal_length_are_refused():
    frame = pl.DataFrame({"user": [1, 2], "item": [[1], [1, 2]], "time": [[1], [1]]})
    with pytest.raises(SeqRecError, match="session 2: 1 values in column 'time' and 2 in 'item'"):
        read_source(frame)


LOG = "user,item,event,rating,zip\n1,a,watch,10,007\n1,b,click,9,08\n2,c,watch,,1\n\n"


@pytest.mark.parametrize(
    ("condition", "items"),
    [
        ("event == 'watch'", ["a", "c"]),
        ("event = 'watch' and rating > 9", ["a"]),
        ("rating >= 9", ["a", "b"]),
        ("rating between 8.5 and 9.5", ["b"]),
        ("rating is null", ["c"]),
        ("user = '1' and rating < 10", ["b"]),
        ("user = 2", ["c"]),
        ("zip = '007'", ["a"]),
        ("event in ('click', 'buy')", ["b"]),
        ("item like 'b%' or item = 'c'", ["b", "c"]),
    ],
)
def test_a_condition_compares_text_and_numbers_as_they_look(tmp_path, condition, items):
    file = tmp_path / "log.csv"
    file.write_text(LOG)
    log = read_source(file, where=condition)
    found = log.collect().filter(pl.col("item") != "")
    assert found["item"].to_list() == items
    assert found["zip"].to_list() == [{"a": "007", "b": "08", "c": "1"}[item] for item in items]
    assert log.where(0).startswith(f"{file}: line {2 + 'abc'.index(items[0])}")


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("event ==", "no SQL expression"),
        ("evnt = 'watch'", r"no such column: evnt; the log has \['user'"),
        ('event = "watch"', "no such column: watch; .*single quotes"),
        ("event", "gives String, not true or false"),
        ("rating + 1", "gives Int64, not true or false"),
        ("event > 5", "cannot compare string with numeric"),
        ("event = 'x'", "keeps none of"),
        ("event = 'x'; drop table log", "no SQL expression"),
        ("", "no SQL expression"),
    ],
)
def test_a_condition_that_is_none_ends_in_one_line(tmp_path, condition, message):
    file = tmp_path / "log.csv"
    file.write_text(LOG)
    with pytest.raises(SeqRecError, match=message) as caught:
        read_source(file, where=condition)
    assert "\n" not in str(caught.value)
