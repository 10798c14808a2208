"""The prepared folder: files are read back, and any change is refused."""

import dataclasses
import json

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from seqrec.data.log.sources import read_source
from seqrec.data.preparation.filters import Filters
from seqrec.data.preparation.interactions import prepare_interactions
from seqrec.data.preparation.writing import write_prepared
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import first_order_world
from seqrec.data.splits import parse_split
from seqrec.errors import SeqRecError

FRAME = pl.DataFrame(
    {
        "user": ["b", "a", "b", "b"],
        "item": ["<pad>", "🎬", "x y", "<pad>"],
        "time": [10, 20, 30, 20],
        "stars": [1, None, 3, 4],
        "completion": [0.5, None, 1.0, 0.0],
        "device": ["tv"] * 4,
    }
)


def test_histories_are_the_log_by_user_oldest_first(prepared):
    histories = prepared(FRAME).histories(["rating", "completion", "time"])
    assert histories.offsets.tolist() == [0, 3, 4]
    assert histories.items.tolist() == [0, 0, 2, 1]
    assert histories.split.tolist() == [0, 1, 2, 0]
    assert histories.columns["time"].tolist() == [10**7, 2 * 10**7, 3 * 10**7, 2 * 10**7]
    np.testing.assert_array_equal(histories.columns["rating"], [1, 4, 3, np.nan])
    np.testing.assert_array_equal(histories.columns["completion"], [0.5, 0, 1, np.nan])
    types = (histories.offsets.dtype, histories.items.dtype, histories.split.dtype)
    assert types == (np.int64, np.int32, np.uint8)


def test_ids_come_back_from_items_and_users(prepared):
    data = prepared(FRAME)
    assert data.items()["item_id"].to_list() == ["<pad>", "🎬", "x y"]
    assert data.users().rows() == [(0, "b"), (1, "a")]
    assert (data.num_users, data.num_items) == (2, 3)


def test_attributes_of_items_and_users_are_joined_in_item_order(tmp_path):
    log = read_source(FRAME)
    known = pl.DataFrame(
        {
            "item_id": ["x y", "else", "<pad>", "x y"],
            "title": ["X", "E", "P", "X again"],
            "genres": [["a", "b"], [], ["c"], []],
            "item": [1, 2, 3, 4],
        }
    )
    log = dataclasses.replace(log, items=known, users=pl.DataFrame({"user_id": ["a"], "age": [3]}))
    filters, split = Filters(), parse_split("none")
    found = prepare_interactions(log, filters, split)
    write_prepared(tmp_path, found, source="frame", log=log, filters=filters, split_by=split)
    items, users = PreparedData.open(tmp_path).items(), PreparedData.open(tmp_path).users()
    assert items.rows() == [
        (0, "<pad>", "P", ["c"], 3),
        (1, "x y", "X", ["a", "b"], 1),
        (2, "🎬", None, None, None),
    ]
    assert users.rows() == [(0, "b", None), (1, "a", 3)]


def test_the_tables_are_plain_parquet_in_row_groups(prepared):
    world = first_order_world(50)
    data = prepared(world.simulate(4000, 20, seed=0))
    file = pq.ParquetFile(data.path / "interactions.parquet")
    assert file.num_row_groups > 1
    assert file.schema_arrow.names == ["user", "item", "time", "split", "rating"]
    assert pq.read_table(data.path / "items.parquet").num_rows == 50


def test_the_manifest_holds_options_and_counts(tmp_path, prepared):
    file = tmp_path / "log.csv"
    FRAME.select("user", "item", "time", "stars").write_csv(file)
    data = prepared(file, split_by="last-n:2", min_rating=1.0)
    manifest = data.manifest
    assert manifest["version"] == 2 and list(manifest["sources"]) == ["log.csv"]
    expected = {"user": "user", "item": "item", "time": "time", "rating": "stars"}
    assert manifest["columns"] == expected
    assert manifest["options"]["split_by"] == data.split_by == "last-n:2"
    assert manifest["options"]["min_rating"] == 1.0 and manifest["options"]["repeats"] == "keep"
    assert manifest["counts"]["rows_read"] == 4 and manifest["counts"]["below_min_rating"] == 1
    assert all(isinstance(count, int) for count in manifest["counts"].values())
    assert data.targets == "together"


def test_targets_count_under_a_time_split_only(prepared):
    frame = pl.DataFrame({"user": [0] * 20, "item": range(20), "time": range(20)})
    assert prepared(frame, "global-time", targets="successive").targets == "successive"


def test_one_log_prepared_twice_is_the_same_to_the_byte(tmp_path):
    log, filters, split = read_source(FRAME), Filters(), parse_split("leave-one-out")
    manifests = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found = prepare_interactions(log, filters, split)
        manifests.append(
            write_prepared(
                tmp_path / name, found, source="x", log=log, filters=filters, split_by=split
            )
        )
    assert manifests[0] == manifests[1]


@pytest.mark.parametrize("name", ["interactions.parquet", "items.parquet", "users.parquet"])
def test_an_edited_or_missing_file_is_refused_by_name(prepared, name):
    file = prepared(FRAME).path / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(SeqRecError, match=f"{name}: was edited or cut short"):
        PreparedData.open(file.parent)
    file.unlink()
    with pytest.raises(SeqRecError, match=f"{name}: is missing"):
        PreparedData.open(file.parent)


def test_another_version_and_other_folders_are_refused(tmp_path, prepared):
    with pytest.raises(SeqRecError, match="not a prepared folder"):
        PreparedData.open(tmp_path)
    with pytest.raises(SeqRecError, match="not a prepared folder"):
        PreparedData.open(tmp_path / "gone")
    path = prepared(FRAME).path
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"version": 3}))
    with pytest.raises(SeqRecError, match="prepared in format 3, this seqrec reads 2"):
        PreparedData.open(path)
    for entries in ({"files": {}}, manifest | {"files": {"items.parquet": {"rows": 3}}}):
        (path / "manifest.json").write_text(json.dumps(entries | {"version": 2}))
        with pytest.raises(SeqRecError, match="entries are missing"):
            PreparedData.open(path)
    for text in ("{", "[]", '"x"'):
        (path / "manifest.json").write_text(text)
        with pytest.raises(SeqRecError, match="not the manifest"):
            PreparedData.open(path)


@pytest.mark.parametrize("name", ["device", "weight", "user"])
def test_a_column_that_is_not_numeric_is_refused_with_those_that_are(prepared, name):
    with pytest.raises(SeqRecError, match=f"'{name}'; choose one of time, rating, completion"):
        prepared(FRAME).histories([name])


def test_a_failed_write_is_an_os_error(tmp_path):
    log, filters, split = read_source(FRAME), Filters(), parse_split("none")
    found = prepare_interactions(log, filters, split)
    (tmp_path / "items.parquet").symlink_to("/dev/full")
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(OSError):
            write_prepared(folder, found, source="x", log=log, filters=filters, split_by=split)


def test_a_folder_whose_name_looks_like_a_pattern_is_read(tmp_path):
    folder = tmp_path / "br[1]*x"
    folder.mkdir()
    log, filters, split = read_source(FRAME), Filters(), parse_split("none")
    found = prepare_interactions(log, filters, split)
    write_prepared(folder, found, source="x", log=log, filters=filters, split_by=split)
    data = PreparedData.open(folder)
    assert len(data.histories(["rating"]).items) == 4
    assert (len(data.items()), len(data.users())) == (3, 2)
