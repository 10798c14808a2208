"""The recommendations file: written, read back, refused."""

import numpy as np
import polars as pl
import pytest

import seqrec
from seqrec.data.prepared import PreparedData
from seqrec.data.recommendations import build_recommendations_table, read_recommendations
from seqrec.data.tables import check_table_file, write_table
from seqrec.errors import SeqRecError

RANKED = {"user_id": ["u", "u"], "item_id": ["a", "b"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "prepared"
    log = pl.DataFrame({"user": ["u", "u", "v", "v"], "item": ["a", "b", "c d", "<pad>"]})
    seqrec.prepare(log, out=folder)
    return PreparedData.open(folder)


def test_lists_written_are_lists_read(data, tmp_path):
    item_ids = data.items()["item_id"].to_list()
    items = np.array([[3, 1, -1], [0, 2, 3]])
    table = build_recommendations_table(["u", "v"], item_ids, items, -items.astype(float))
    assert table.rows()[0] == ("u", item_ids[3], 1, -3.0) and len(table) == 5
    table.sample(fraction=1, shuffle=True, seed=0).write_parquet(tmp_path / "recs.parquet")
    lists = read_recommendations(tmp_path / "recs.parquet", data, 3)
    assert lists.items.tolist() == items.tolist()
    assert lists.unknown_users == lists.unknown_items == []


def test_unknown_ids_are_named_and_keep_their_place(data, tmp_path):
    table = pl.DataFrame(
        {
            "user_id": ["u", "u", "u", "w"],
            "item_id": ["x", "a", "b", "a"],
            "score": [9.0, 8.0, 7.0, 1.0],
        }
    )
    table.write_parquet(tmp_path / "recs.parquet")
    lists = read_recommendations(tmp_path / "recs.parquet", data, 2)
    assert lists.items.tolist() == [[-1, 0], [-1, -1]]
    assert lists.lengths.tolist() == [2, 0]
    assert (lists.unknown_users, lists.unknown_items) == (["w"], ["x"])


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"user_id": ["u"], "item": ["a"], "rank": [1]}, "column 'item_id' is missing"),
        ({"user_id": ["u"], "item_id": ["a"]}, "column 'score' is missing"),
        (
            {"user_id": ["u"], "item_id": ["a"], "score": [float("nan")]},
            "values that are not numbers",
        ),
        ({"user_id": ["u"], "item_id": ["a"], "rank": ["first"]}, "values that are not numbers"),
        ({"user_id": [None, "u"], "item_id": ["a", "b"], "rank": [1, 2]}, "empty values"),
        ({"user_id": ["u"], "item_id": [["a"]], "rank": [1]}, "'item_id' holds lists"),
        ({"user_id": ["u", "u"], "item_id": ["a", "a"], "rank": [1, 2]}, "item 'a' twice"),
        (
            RANKED | {"rank": [1, 2], "score": [1.0, float("nan")]},
            "'score' holds values that are not",
        ),
        (RANKED | {"rank": [1, 2], "score": [1.0, None]}, "empty values among .*, score"),
        (RANKED | {"rank": [3, 1]}, "user 'u' has rank 3 instead of 2"),
        (RANKED | {"rank": [1, 1]}, "user 'u' has rank 1 instead of 2"),
        (RANKED | {"rank": [0, 1]}, "user 'u' has rank 0 instead of 1"),
        (RANKED | {"item_id": [b"\xff", b"a"], "rank": [1, 2]}, "cannot be read as text"),
    ],
)
def test_a_file_that_is_no_list_is_refused(data, tmp_path, columns, complaint):
    pl.DataFrame(columns).write_parquet(tmp_path / "recs.parquet")
    with pytest.raises(SeqRecError, match=complaint):
        read_recommendations(tmp_path / "recs.parquet", data, 5)


def test_a_file_whose_name_looks_like_a_pattern_is_read(data, tmp_path):
    table = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "rank": [1]})
    table.write_parquet(tmp_path / "recs[1].parquet")
    assert read_recommendations(tmp_path / "recs[1].parquet", data, 1).items.tolist() == [[0], [-1]]


def test_equal_scores_stand_as_in_the_file_and_are_named(data, tmp_path):
    users = {"user_id": ["u", "u", "v", "v"], "item_id": ["b", "a", "a", "b"]}
    pl.DataFrame({**users, "score": [1.0, 1.0, 2.0, 1.0]}).write_parquet(tmp_path / "r.parquet")
    lists = read_recommendations(tmp_path / "r.parquet", data, 2)
    item_ids = data.items()["item_id"].to_list()
    assert [item_ids[item] for item in lists.items[0]] == ["b", "a"]
    assert lists.tied_users == ["u"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".ndjson"])
def test_lists_are_the_same_in_every_format(data, tmp_path, suffix):
    table = build_recommendations_table(
        ["u", "v"], data.items()["item_id"].to_list(), np.array([[3, 1], [0, 2]]), np.eye(2)
    )
    file = tmp_path / f"recs{suffix}"
    write_table(table, file, check_table_file(file, "--out"), {"time_input": "times"})
    lists = read_recommendations(file, data, 2)
    assert lists.items.tolist() == [[3, 1], [0, 2]]
    assert lists.time_input == ("times" if suffix == ".parquet" else None)


def test_ids_of_a_csv_file_keep_their_zeros_and_frames_are_read(tmp_path):
    log = pl.DataFrame({"user": ["007", "7"], "item": ["01", "1"]})
    seqrec.prepare(log, out=tmp_path / "p", split_by="none")
    data = PreparedData.open(tmp_path / "p")
    rows = {item_id: item for item, item_id in enumerate(data.items()["item_id"])}
    (tmp_path / "r.csv").write_text("item_id;user_id;score\n01;007; 2\n1;7;1e-3\n")
    expected = np.full((2, 1), -1)
    for user, user_id in enumerate(data.users()["user_id"]):
        expected[user] = rows["01" if user_id == "007" else "1"]
    frame = pl.read_csv(tmp_path / "r.csv", separator=";", infer_schema=False)
    frame = frame.with_columns(pl.lit(1).alias("rank"))
    for source in (tmp_path / "r.csv", frame, frame.to_pandas(), frame.to_arrow()):
        assert read_recommendations(source, data, 1).items.tolist() == expected.tolist()


def test_a_file_to_write_needs_a_suffix_of_a_format(tmp_path):
    for name in ("recs", "recs.xlsx"):
        with pytest.raises(SeqRecError, match="names no format; name a .parquet"):
            check_table_file(tmp_path / name, "--out")
