"""Every source becomes the same log, ids spelled as they were."""

import csv
import gzip
import json

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqrec.data.log.columns import Columns
from seqrec.data.log.sources import read_source
from seqrec.errors import SeqRecError

ROWS = [("007", "42", "3.5", "978300760"), ("ann b", "7", "4", "978300761")]
ODD_IDS = [
    "007",
    "123456789012345678901234567890",
    "a b",
    'say "hi"',
    "🎬",
    "<pad>",
    "a,b",
    "#1",
    "null",
]


def ids(log) -> list[tuple]:
    table = log.collect()
    return list(zip(table[log.columns.user], table[log.columns.item], strict=True))


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", "::"])
@pytest.mark.parametrize("header", [["userId", "movieId", "rating", "timestamp"], None])
def test_a_delimited_file_is_read_with_any_delimiter_with_and_without_header(
    tmp_path, delimiter, header
):
    lines = [delimiter.join(row) for row in ([header] if header else []) + ROWS]
    file = tmp_path / "log.csv"
    file.write_text("\n".join(lines) + "\n")
    log = read_source(file)
    assert ids(log) == [("007", "42"), ("ann b", "7")]
    table = log.collect()
    assert table[log.columns.rating].to_list() == ["3.5", "4"]
    assert table[log.columns.time].to_list() == ["978300760", "978300761"]


def test_a_space_delimited_file_with_a_header_is_a_table(tmp_path):
    file = tmp_path / "log.txt"
    file.write_text("user item rating\nu1 i1 3\nu2 i2 4\n")
    assert ids(read_source(file)) == [("u1", "i1"), ("u2", "i2")]


def test_a_ragged_space_delimited_file_is_sequences(tmp_path):
    file = tmp_path / "Beauty.txt"
    file.write_text("1 5 6 7\n2 5\n\n3\t9  8\n")
    log = read_source(file)
    assert ids(log) == [("1", "5"), ("1", "6"), ("1", "7"), ("2", "5"), ("3", "9"), ("3", "8")]
    assert log.columns == Columns(user="user_id", item="item_id")


def test_a_user_a_tab_and_items_between_spaces_are_sequences(tmp_path):
    file = tmp_path / "log.txt"
    file.write_text("1\t2 3 4\n2\t3 5\n3\t9\n")
    assert ids(read_source(file))[:4] == [("1", "2"), ("1", "3"), ("1", "4"), ("2", "3")]
    file.write_text("1\tToy Story\n2\tHeat 2\n")
    assert ids(read_source(file)) == [("1", "Toy Story"), ("2", "Heat 2")]


def test_four_words_that_end_in_a_time_are_ratings_and_no_sequence(tmp_path):
    file = tmp_path / "log.txt"
    file.write_text("1 5 3 978300760\n2 6 4 978300761\n")
    assert ids(read_source(file)) == [("1", "5"), ("2", "6")]
    file.write_text("1 5 3 abc\n2 6 4 def\n")
    assert len(ids(read_source(file))) == 6


@pytest.mark.parametrize("delimiter", [",", "::"])
@pytest.mark.parametrize("header", ["user{0}item\n", ""])
def test_blank_lines_above_a_log_are_harmless(tmp_path, delimiter, header):
    file = tmp_path / "log.csv"
    file.write_text(("\n \n" + header + "u{0}i\nv{0}j\n").format(delimiter))
    assert ids(read_source(file)) == [("u", "i"), ("v", "j")]


def test_separators_of_unicode_end_no_line_of_a_log_or_its_neighbours(tmp_path):
    (tmp_path / "d.inter").write_text("user_id:token\titem_id:token\nu\u2028v\ta\n")
    (tmp_path / "d.item").write_text("item_id:token\ttitle:token\r\na\tOne\u2028Two\r\n")
    log = read_source(tmp_path)
    assert ids(log) == [("u\u2028v", "a")]
    assert log.items["title"].to_list() == ["One\u2028Two"]


def test_quotes_inside_of_ids_are_part_of_them(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text('user,item,time\nu5,7" vinyl,5\nu6,12" "single",6\n')
    assert ids(read_source(file)) == [("u5", '7" vinyl'), ("u6", '12" "single"')]


def test_a_neighbour_that_is_not_movielens_own_is_left_alone(tmp_path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating\n1,2,3\n")
    (tmp_path / "movies.csv").write_text("id,name\n2,Heat\n")
    assert read_source(tmp_path).items is None
    (tmp_path / "movies.csv").write_text("imdb,genres,title,movieId\n9,Crime|Drama,Heat (1995),2\n")
    row = read_source(tmp_path).items.row(0, named=True)
    assert (row["item_id"], row["genres"]) == ("2", ["Crime", "Drama"])


@pytest.mark.parametrize("text", ["u,i\r\n", "u::i\r\n", "u i\r\n"])
def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_ids(tmp_path, text):
    file = tmp_path / "log.txt"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode() * 2)
    assert ids(read_source(file)) == [("u", "i")] * 2


def test_format_overrides_what_the_lines_look_like(tmp_path):
    file = tmp_path / "log.txt"
    file.write_text("1 5 3\n2 5 4\n")
    assert len(ids(read_source(file))) == 4
    assert ids(read_source(file, format="csv")) == [("1", "5"), ("2", "5")]
    with pytest.raises(SeqRecError, match="--format xml: choose one of csv, parquet"):
        read_source(file, format="xml")


@pytest.mark.parametrize(
    ("third", "role"), [("978300760", "time"), ("2020-01-02", "time"), ("5", "rating")]
)
def test_the_third_of_three_unnamed_columns_is_a_time_if_it_looks_like_one(tmp_path, third, role):
    file = tmp_path / "log.csv"
    file.write_text(f"1,2,{third}\n3,4,{third}\n")
    assert getattr(read_source(file).columns, role) == "3"


def test_two_unnamed_columns_are_user_and_item_and_five_must_be_named(tmp_path):
    file = tmp_path / "two.csv"
    file.write_text("a,b\nc,d\n")
    assert read_source(file).columns == Columns("1", "2")
    file = tmp_path / "five.csv"
    file.write_text("1,2,3,4,5\n1,2,3,4,5\n")
    with pytest.raises(SeqRecError, match=r"has no header.*'5'.*--user"):
        read_source(file)
    found = read_source(file, columns=Columns(user="5", item="4"))
    assert ids(found) == [("5", "4")] * 2


@pytest.mark.parametrize("name", ["log.csv.gz", "LOG.CSV.GZ"])
def test_compressed_text_reads_as_plain(tmp_path, name):
    file = tmp_path / name
    with gzip.open(file, "wt") as out:
        out.write("user,item,rating,time\n007,i,3,978300760\n")
    assert ids(read_source(file)) == [("007", "i")]


def test_ids_of_odd_text_come_back_from_csv_and_ndjson(tmp_path):
    table = tmp_path / "log.csv"
    with table.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["user", "item"], *((text, text) for text in ODD_IDS)])
    lines = tmp_path / "log.ndjson"
    lines.write_text(
        "".join(json.dumps({"user": text, "item": text}) + "\n" for text in ODD_IDS),
        encoding="utf-8",
    )
    expected = [(text, text) for text in ODD_IDS]
    assert ids(read_source(table)) == expected
    assert ids(read_source(lines)) == expected


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
        min_size=1,
        max_size=8,
    )
)
def test_any_printable_id_comes_back_from_csv(tmp_path, texts):
    file = tmp_path / "log.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        writer.writerows([["user", "item"], *((text, text) for text in texts)])
    assert ids(read_source(file)) == [(text, text) for text in texts]


def test_ndjson_numbers_of_any_size_are_text(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text(
        '{"user": 123456789012345678901234567890, "item": 5, "rating": 4.5}\n\n'
        '{"item": "x", "user": "007"}\n'
    )
    log = read_source(file)
    assert ids(log) == [("123456789012345678901234567890", "5"), ("007", "x")]
    assert log.collect()["rating"].to_list() == [4.5, None]


def test_parquet_and_frames_give_text_ids_and_keep_other_columns(tmp_path):
    frame = pl.DataFrame(
        {"userId": [7, 8], "movieId": ["a", "b"], "timestamp": [1, 2], "completion": [0.5, None]}
    )
    file = tmp_path / "log.parquet"
    frame.write_parquet(file)
    sources = [file, frame, frame.lazy(), frame.to_arrow(), frame.to_pandas()]
    for source in sources:
        log = read_source(source)
        assert ids(log) == [("7", "a"), ("8", "b")]
        assert log.collect()["completion"].to_list()[0] == 0.5
    assert read_source(pa.record_batch({"user": [1], "item": [2]})).columns.item == "item"


def test_a_pandas_frame_of_mixed_objects_is_read_as_text():
    frame = pd.DataFrame({"user": [1, "x", 10**30], "item": [1, 2, 3]}, dtype=object)
    assert [user for user, _ in ids(read_source(frame))] == ["1", "x", str(10**30)]


def test_something_else_is_no_source():
    with pytest.raises(SeqRecError, match="a dict is no source"):
        read_source({"user": [1]})
    with pytest.raises(SeqRecError, match="a list of dict is no source"):
        read_source([{"user": 1}])
    frame = pd.DataFrame({"user": [1], "item": [2]})
    for other, name in ((frame["user"], "Series"), (frame.groupby("user"), "DataFrameGroupBy")):
        with pytest.raises(SeqRecError, match=f"a {name} is no source"):
            read_source(other)
    with pytest.raises(SeqRecError, match="column 'user' occurs twice"):
        read_source(pd.concat([frame, frame[["user"]]], axis=1))


def test_names_that_were_given_win_and_must_exist(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("user,viewer,item,when\n1,2,3,4\n")
    assert ids(read_source(file, columns=Columns(user="viewer"))) == [("2", "3")]
    with pytest.raises(SeqRecError, match=r"--time at: no such column; it has \['user', 'viewer'"):
        read_source(file, columns=Columns(time="at"))
    with pytest.raises(SeqRecError, match="both name column 'item'"):
        read_source(file, columns=Columns(user="item", item="item"))


@pytest.mark.parametrize(
    "names",
    [
        ("user_id", "item_id", "timestamp", "rating"),
        ("customer_id", "product_id", "date", "stars"),
        ("UID", "asin", "unixReviewTime", "overall"),
        ("User ID", "title_id", "datetime", "score"),
    ],
)
def test_usual_names_are_found_whatever_their_order_and_case(names):
    frame = pl.DataFrame({name: ["1"] for name in reversed(names)} | {"title": ["x"]})
    found = read_source(frame).columns
    assert (found.user, found.item, found.time, found.rating) == names


def test_a_log_without_a_user_column_lists_what_it_has():
    with pytest.raises(SeqRecError, match=r"no column looks like the user's.*'item'.*--user"):
        read_source(pl.DataFrame({"item": [1], "x": [1]}))


def test_a_movielens_file_may_be_read_as_plain_text(tmp_path):
    (tmp_path / "u.data").write_text("1\t2\t3\t881250949\n")
    found = read_source(tmp_path / "u.data", format="csv").columns
    assert found == Columns(user="1", item="2", rating="3", time="4")


def test_movielens_100k_as_grouplens_ships_it(tmp_path):
    (tmp_path / "u.data").write_text("1\t2\t3\t881250949\n2\t1\t4\t881250950\n")
    flags = ["0"] * 19
    flags[1] = flags[5] = "1"
    first = ["1", "Léon (1994)", "01-Jan-1994", "", "http://x", *flags]
    second = ["2", "unknown", "", "", "", "1", *["0"] * 18]
    (tmp_path / "u.item").write_bytes(
        "\n".join("|".join(line) for line in (first, second)).encode("latin-1") + b"\n"
    )
    (tmp_path / "u.user").write_text("1|24|M|writer|00123\n2|30|F|artist|T8H1N\n")
    log = read_source(tmp_path)
    assert ids(log) == [("1", "2"), ("2", "1")]
    assert log.items["title"].to_list() == ["Léon (1994)", "unknown"]
    assert log.items["genres"].to_list() == [["Action", "Comedy"], ["unknown"]]
    assert log.items["year"].to_list() == [1994, None]
    assert log.users["zip_code"].to_list() == ["00123", "T8H1N"]
    assert sorted(log.files) == ["u.data", "u.item", "u.user"]


@pytest.mark.parametrize("ratings", ["dat", "parquet"])
def test_movielens_1m_with_ratings_as_text_or_parquet(tmp_path, ratings):
    if ratings == "dat":
        (tmp_path / "ratings.dat").write_text("1::1193::5::978300760\n2::661::3::978302109\n")
    else:
        frame = pl.DataFrame({"user_id": [1, 2], "item_id": [1193, 661], "rating": [5, 3]})
        frame.write_parquet(tmp_path / "ratings.parquet")
    (tmp_path / "movies.dat").write_bytes(
        "661::Misérables, Les (1995)::Drama|Musical\n".encode("latin-1")
    )
    (tmp_path / "users.dat").write_text("1::F::1::10::48067\n")
    (tmp_path / "plots.dat").write_text("what else lies there\n")
    log = read_source(tmp_path)
    assert ids(log) == [("1", "1193"), ("2", "661")]
    assert log.items.row(0) == ("661", "Misérables, Les (1995)", ["Drama", "Musical"], 1995)
    assert log.users.row(0) == ("1", "F", "1", "10", "48067")


def test_movielens_csv_with_quoted_titles(tmp_path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,11,4.0,1112486027\n")
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\n11,"American President, The (1995)",Comedy|Drama\n'
        "12,Odd,(no genres listed)\n"
    )
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,11,x,1\n")
    log = read_source(tmp_path)
    assert log.items["title"].to_list() == ["American President, The (1995)", "Odd"]
    assert log.items["genres"].to_list() == [["Comedy", "Drama"], []]
    assert "tags.csv" not in log.files


@pytest.mark.parametrize("by", ["folder", "file"])
def test_recbole_atomic_files(tmp_path, by):
    (tmp_path / "d.inter").write_text(
        'user_id:token\titem_id:token\trating:float\n"1\tb\t3\n2\ta\t4\n'
    )
    (tmp_path / "d.item").write_text(
        "item_id:token\tmovie_title:token_seq\tprice:float\tclass:token_seq\n"
        "a\tToy Story\t1.5\tComedy Children's\nb\tHeat\t\t\n"
    )
    (tmp_path / "d.user").write_text("user_id:token\tage:token\n2\t30\n")
    log = read_source(tmp_path if by == "folder" else tmp_path / "d.inter")
    assert ids(log) == [('"1', "b"), ("2", "a")]
    assert log.items["title"].to_list() == ["Toy Story", "Heat"]
    assert log.items["genres"].to_list() == [["Comedy", "Children's"], []]
    assert log.items["price"].to_list() == [1.5, None]
    assert log.users.row(0) == ("2", "30")


def test_a_folder_is_read_if_it_holds_one_log(tmp_path):
    (tmp_path / "README.txt").write_text("about")
    (tmp_path / "clicks.tsv").write_text("user\titem\n1\t2\n")
    assert ids(read_source(tmp_path)) == [("1", "2")]
    (tmp_path / "more.csv").write_text("user,item\n1,2\n")
    with pytest.raises(SeqRecError, match="clicks.tsv and more.csv are files of different kinds"):
        read_source(tmp_path)


def test_a_broken_companion_is_named_with_its_line(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::2::3::978300760\n")
    (tmp_path / "movies.dat").write_text("1::A (1990)::Drama\n2::B\n")
    with pytest.raises(SeqRecError, match="movies.dat: line 2: 2 fields instead of 3"):
        read_source(tmp_path)


def test_names_with_brackets_are_no_patterns(tmp_path):
    folder = tmp_path / "log[1]*"
    folder.mkdir()
    (folder / "log.ndjson").write_text('{"user": 1, "item": 2}\n')
    assert ids(read_source(folder)) == [("1", "2")]
