"""Unreadable input is refused in one line that names the file, line or column."""

import gzip

import polars as pl
import pytest

from seqrec.data.log.columns import Columns
from seqrec.data.log.sources import read_source
from seqrec.data.splits import parse_split
from seqrec.errors import SeqRecError

GOOD = "user,item,rating,time\n1,a,3,978300760\n"
COLUMNS = "user,item,rating,time\n"


def refusal(interactions, source, **options) -> str:
    with pytest.raises(SeqRecError) as caught:
        interactions(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rating.csv", GOOD + "1,b,good,978300760\n", "rating.csv: line 3: rating 'good'"),
        ("time.csv", GOOD + "1,b,4,\n1,c,4,noon\n", "time.csv: line 4: time 'noon'"),
        ("date.csv", COLUMNS + "1,b,4,2020-01-02\n1,c,4,2020-13-02\n", "line 3: time '2020-13-02'"),
        ("infinite.csv", GOOD + "1,b,inf,978300760\n", "line 3: rating 'inf'"),
        ("user.csv", GOOD + ",b,4,978300760\n", "user.csv: line 3: the user's id (column 'user')"),
        (
            "item.csv",
            GOOD + '1,"",4,978300760\n',
            "item.csv: line 3: the item's id (column 'item')",
        ),
        ("after.csv", GOOD + '"a\nb",c,4,5\n1,b,x,5\n', "after.csv: line 5: rating 'x'"),
        ("wide.csv", GOOD + "1,b,4,978300760,9\n", "wide.csv: line 3: 5 fields where"),
        ("blank.csv", "\n\n" + GOOD + "1,b,good,5\n", "blank.csv: line 5: rating 'good'"),
        ("inner.csv", GOOD + '"1",a,3,4\n1,7" vinyl,4,5\n', "inner.csv: line 4: a double quote"),
        ("open.csv", GOOD + '"1,b,4,978300760\n', "open.csv: line 3: a quotation"),
        ("empty.csv", "", "empty.csv: is empty"),
        ("header.csv", COLUMNS, "header.csv: holds no interactions"),
        ("twice.csv", "user,item,user\n1,2,3\n", "line 1: column 'user' occurs twice"),
        ("one.csv", "user\n1\n", "one.csv: line 1: one column only"),
        (
            "long.dat",
            "1::2::3::978300760\n1::2::3::978300760\n\n1::2::3::5::6\n",
            "long.dat: line 4: 5 fields where",
        ),
        ("rating.dat", "1::2::3::978300760\n1::2::x::978300760\n", "line 2: rating 'x'"),
        ("broken.ndjson", '{"user": 1, "item": 2}\n\n{"user": 1,\n', "line 3: not a JSON object"),
        (
            "null.ndjson",
            '{"user": 1, "item": 2}\n\n{"user": 1}\n',
            "null.ndjson: line 3: the item's",
        ),
        ("text.parquet", "not parquet", "text.parquet: not a Parquet file, or cut short"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path, interactions, name, content, expected):
    file = tmp_path / name
    file.write_text(content)
    assert expected in refusal(interactions, file)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path, interactions):
    file = tmp_path / "latin.csv"
    file.write_bytes(GOOD.encode() + "1,Léon,4,978300760\n".encode("latin-1"))
    assert "latin.csv: line 3: b'\\xe9on,' is not UTF-8" in refusal(interactions, file)


def test_a_truncated_parquet_is_refused(tmp_path, interactions):
    file = tmp_path / "log.parquet"
    pl.DataFrame({"user": range(1000), "item": range(1000)}).write_parquet(file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert "log.parquet: not a Parquet file, or cut short" in refusal(interactions, file)
    file.write_bytes(b"PAR1" + b"x" * 400 + whole[404:])
    assert "log.parquet" in refusal(interactions, file)


@pytest.mark.parametrize("cut", [slice(None, -12), slice(None, 4), slice(4, None)])
def test_a_broken_gzip_is_refused(tmp_path, interactions, cut):
    file = tmp_path / "log.csv.gz"
    file.write_bytes(gzip.compress((COLUMNS + "1,a,3,978300760\n" * 20_000).encode())[cut])
    assert "log.csv.gz: " in refusal(interactions, file)


def test_a_missing_file_or_folder_is_named(tmp_path, interactions):
    assert "gone: no such file or folder" in refusal(interactions, tmp_path / "gone")
    assert "it has none" in refusal(interactions, tmp_path)
    assert "x: File name too long" in refusal(interactions, tmp_path / ("x" * 5000))


def test_rows_of_frames_and_parquet_are_counted_from_one(tmp_path, interactions):
    frame = pl.DataFrame({"user": [1, None], "item": [1, 2]})
    frame.write_parquet(tmp_path / "log.parquet")
    assert "the frame: row 2: the user's id" in refusal(interactions, frame)
    assert "log.parquet: row 2: the user's id" in refusal(interactions, tmp_path / "log.parquet")


def test_columns_of_an_impossible_type_are_refused(interactions):
    frame = pl.DataFrame({"user": [[1]], "item": [1]})
    assert "column 'user' holds List(Int64), not ids" in refusal(interactions, frame)
    frame = pl.DataFrame({"user": [1], "item": [1], "rating": [[1]]})
    assert "rating column 'rating' holds List(Int64)" in refusal(interactions, frame)


def test_an_order_that_is_missing_or_no_number_is_refused(tmp_path, interactions):
    file = tmp_path / "log.csv"
    for value, expected in (("", "no order (column 'place' is empty)"), ("x", "order 'x'")):
        file.write_text(f"user,item,place\n1,a,1\n1,b,{value}\n")
        message = refusal(interactions, file, columns=Columns(order="place"))
        assert "log.csv: line 3: " in message and expected in message


def test_some_missing_times_need_an_order(interactions):
    frame = pl.DataFrame({"user": [1, 1, 1], "item": [1, 2, 3], "time": [5, None, 7]})
    message = refusal(interactions, frame)
    assert "1 of 3 times (column 'time') are missing" in message and "--order" in message


def test_filters_that_drop_all_rows_are_named(interactions):
    frame = pl.DataFrame({"user": [1, 1, 2], "item": [1, 2, 3], "rating": [1, 2, 3]})
    message = refusal(interactions, frame, min_rating=2.0, min_user=2)
    assert "--min-rating 2 --min-user 2 --min-item 1 leaves none of 3 rows" in message
    message = refusal(interactions, frame, min_rating=4.0)
    assert "--min-rating 4 leaves none of 3 rows" in message


def test_a_rating_filter_needs_ratings_and_options_must_be_sound(interactions):
    frame = pl.DataFrame({"user": [1], "item": [1]})
    assert "--min-rating needs ratings" in refusal(interactions, frame, min_rating=1.0)
    assert "--min-user 0: must be 1" in refusal(interactions, frame, min_user=0)
    assert "--repeats all: choose one of keep" in refusal(interactions, frame, repeats="all")


def test_a_time_split_without_times_is_refused(interactions):
    frame = pl.DataFrame({"user": [1, 1], "item": [1, 2]})
    message = refusal(interactions, frame, split_by="global-time")
    assert "--split-by global-time, which needs times, leaves none of 2 rows" in message
    frame = frame.with_columns(time=pl.lit(5))
    assert "leaves nothing to train on" in refusal(interactions, frame, split_by="global-time")


def test_a_title_above_the_header_is_refused_not_read_as_a_history(tmp_path):
    for first in ("my ratings 2024", "# my log"):
        file = tmp_path / "log.csv"
        file.write_text(f"{first}\nuser,item,time\nu1,a,1\nu1,b,2\n")
        with pytest.raises(SeqRecError, match="log.csv: line 1: 1 fields where other lines have 3"):
            read_source(file)


def test_a_title_with_more_fields_than_the_rows_is_refused(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("my, own, log, 2024\nuser,item,time\nu1,a,1\nu1,b,2\n")
    with pytest.raises(SeqRecError, match="log.csv: line 1: 4 fields where other lines have 3"):
        read_source(file)


def test_a_user_alone_on_a_line_of_sequences_is_refused(tmp_path):
    file = tmp_path / "log.txt"
    file.write_text("1 5 6 7\n2 5\nlonely\n")
    with pytest.raises(SeqRecError, match="log.txt: line 3: 'lonely' alone"):
        read_source(file)


def test_successive_targets_of_another_split_are_refused():
    with pytest.raises(SeqRecError, match="--targets successive goes with --split-by global-time"):
        parse_split("leave-one-out", "successive")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.feather", b"ARROW1\0\0\r\n\xff\xff\r1,\0", "log.feather: not an Arrow"),
        ("log.pkl", b"\x80\x05\x95\r\r\n,a,b\r,", "log.pkl: is a pickle; write the log as CSV"),
        ("log.csv.zst", b"\x28\xb5\x2f\xfd\r1,2\n3,\r4\n", "log.csv.zst: "),
        ("misnamed.csv", b"PAR1\x15\x04\r,\x15\n\rPAR1,\n", "misnamed.csv: not a Parquet"),
        ("log.db", b"SQLite format 3\0" + b"\0" * 80, "log.db: is an SQLite database"),
        ("log.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 80, "log.h5: is an HDF5 file"),
        ("log.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 80, "is an Excel workbook"),
        ("log.orc", b"ORC\x12\0", "log.orc: is an ORC file"),
        ("log.csv", b"<!DOCTYPE html>\n<p>Sign in", "log.csv: is an HTML page"),
        ("log.dat", b"a,b\0\x01\x02\n", "log.dat: is binary data of no format that holds a log"),
    ],
)
def test_a_file_of_another_kind_ends_in_one_line(tmp_path, interactions, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert message in refusal(interactions, tmp_path / name)


@pytest.mark.parametrize(
    ("movies", "message"),
    [
        (b"movieId,title,genres\n1," + b"x" * 140_000 + b",Drama\n", "movies.csv: cannot be read"),
    ],
)
def test_a_broken_sidecar_ends_in_one_line_with_its_name(tmp_path, interactions, movies, message):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,5,978300760\n")
    (tmp_path / "movies.csv").write_bytes(movies)
    assert message in refusal(interactions, tmp_path)


def test_pandas_objects_without_distinct_columns_end_in_one_line(interactions):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"user_id": [1, 1], "item_id": [1, 2]})
    twice = pandas.concat([frame, frame[["item_id"]]], axis=1)
    assert "the frame: column 'item_id' occurs twice" in refusal(interactions, twice)
    assert "a Series is no source" in refusal(interactions, frame["user_id"])
    assert "a DataFrameGroupBy is no source" in refusal(interactions, frame.groupby("user_id"))
