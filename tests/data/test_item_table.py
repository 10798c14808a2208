"""Conditions on items, and lists of ids in all their forms."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from seqrec.data.id_lists import IdLists, read_id_lists, read_ids
from seqrec.data.item_columns import find_about
from seqrec.data.item_table import ItemTable
from seqrec.errors import SeqRecError

GENRES = [["Comedy", "Drama"], ["Drama"], [], None, ["O'Neil's", "Comedy"]]
TITLES = ["A contains B", "Up", None, "contains", "It's up"]
YEARS = [1990, 1995, None, 2000, 1980]


@pytest.fixture(scope="module")
def table():
    items = {"item_id": list("abcde"), "genres": GENRES, "title": TITLES, "year": YEARS}
    return ItemTable.build(pl.DataFrame(items))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("genres contains 'Comedy'", "ae"),
        ("genres CONTAINS 'Drama' and year > 1990", "b"),
        ("genres contains 'O''Neil''s'", "e"),
        ("not genres contains 'Comedy'", "bc"),
        ("genres contains 'Comedy' OR year >= 2000", "ade"),
        ("(year < 1995 AND year IS NOT NULL) AND NOT (genres contains 'Drama')", "e"),
        ("title contains 'up'", "e"),
        ("\"title\" contains 'contains'", "ad"),
        ("title = 'A contains B'", "a"),
        ("title = 'contains' OR title LIKE 'U%'", "bd"),
        ("item_id IN ('a', 'b')", "ab"),
        ("year IS NULL", "c"),
        ("1 = 1", "abcde"),
        ("array_contains(genres, 'Drama')", "ab"),
    ],
)
def test_a_condition_selects_what_it_says(table, condition, expected):
    mask = table.select_where(condition)
    assert "".join(np.array(list("abcde"))[mask]) == expected


@pytest.mark.parametrize(
    ("condition", "complaint"),
    [
        ("price > 3", "no such column; the items have item_id, genres, title, year"),
        ("year", "gives Int64, not true or false"),
        ("year >", "write it as"),
        ("", "--where "),
        ("SELECT 1", "write it as"),
        ("contains 'x'", "--where "),
        ("genres contains", "--where "),
        ("genres contains (", "a column, contains, and a value"),
        ("genres = 'Comedy'", "write it as"),
        ("year contains 1", "--where "),
    ],
)
def test_anything_else_is_one_line(table, condition, complaint):
    with pytest.raises(SeqRecError, match=complaint) as error:
        table.select_where(condition)
    assert "\n" not in str(error.value)


def test_text_that_is_mostly_numbers_compares_with_numbers():
    years = [str(1990 + row) for row in range(19)] + ["unknown"]
    items = pl.DataFrame({"item_id": [str(row) for row in range(20)], "year": years})
    table = ItemTable.build(items.with_columns(title=pl.lit("x")))
    assert table.select_where("year > 1994").tolist() == [4 < row < 19 for row in range(20)]
    assert table.select_where("year = '1994'").tolist() == [row == 4 for row in range(20)]
    with pytest.raises(SeqRecError, match="cannot compare string with numeric"):
        table.select_where("title > 1994")


def test_values_of_lists_count_each(table):
    groups = table.get_groups("genres", "--max-per")
    assert len({*groups[0]} & {*groups[1]}) == len({*groups[0]} & {*groups[4]}) == 1
    assert groups[2] == groups[3] == []
    assert len({group for one in table.get_groups("year", "--max-per") for group in one}) == 4
    with pytest.raises(SeqRecError, match="no column 'price'"):
        table.get_groups("price", "--max-per price:1")


def write(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "01\n1\n\n"),
        ("a", "item_id\n01\n1"),
        ("a.csv", "movieId\n01\n1\n"),
        ("a.csv", "01\r\n1\r\n"),
        ("a.csv", "title,item_id\nx,01\ny,1\n"),
        ("a.tsv", "item_id\ttitle\n01\tx\n1\ty\n"),
        ("a.ndjson", '{"item_id": "01"}\n{"item_id": "1"}\n'),
    ],
)
def test_a_file_lists_ids_as_text(tmp_path, name, text):
    file = write(tmp_path, name, text)
    assert read_id_lists(file, "--allow") == IdLists(shared=["01", "1"])
    assert read_ids(str(file), "item", "--allow") == ["01", "1"]


def test_ids_per_user_come_from_columns_frames_and_mappings(tmp_path):
    expected = IdLists(by_user={"7": ["1", "2"], "07": ["1"]})
    file = write(tmp_path, "a.csv", "user_id;item_id\n7;1\n07;1\n7;2\n7;2\n")
    assert read_id_lists(file, "--allow") == expected
    frame = pl.read_csv(file, separator=";", infer_schema=False)
    for source in (frame, frame.to_pandas(), frame.to_arrow()):
        assert read_id_lists(source, "allow") == expected
    assert read_id_lists({7: [1, 2.0], "07": np.array([1])}, "allow") == expected


def test_ids_in_memory():
    for source in ([1, 2], (1, 2), np.array([1, 2]), pd.Series([1.0, 2.0]), iter(["1", "2"])):
        assert read_id_lists(source, "allow") == IdLists(shared=["1", "2"])
    assert read_id_lists([["1"], [2]], "allow") == IdLists(by_row=[["1"], ["2"]])
    assert read_id_lists(pl.DataFrame({"item_id": [1.0, 2.0]}), "allow").shared == ["1", "2"]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (5, "lists no ids"),
        ({"u": "ab"}, "is not a list of ids"),
        ([None], "an item id is missing"),
        ("nowhere.csv", "no such file"),
        (pl.DataFrame({"a": [1], "b": [2]}), "no column item_id"),
        (pl.DataFrame({"item_id": [None, "a"]}), "empty ids"),
        (pl.DataFrame({"item_id": [["a"]]}), "holds lists"),
    ],
)
def test_no_list_of_ids_is_one_line(source, complaint):
    with pytest.raises(SeqRecError, match=complaint):
        read_id_lists(source, "--allow")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"summary": ["short", None]}, "summary"),
        ({"overview": ["o", "o"], "description": ["d", None]}, "description"),
        ({"plot": [None, None], "overview": ["o", None]}, "overview"),
        ({"title": ["a", "b"]}, None),
    ],
)
def test_the_text_about_an_item_is_in_the_first_column_that_holds_any(columns, expected):
    assert find_about(pl.DataFrame(columns)) == expected
