"""Fingerprints differ where catalogs do; item tables are checked."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.data.catalog import catalog_fingerprint, read_items, read_model_items, write_items
from seqrec.data.item_columns import item_texts
from seqrec.errors import SeqRecError

IDS = st.lists(st.text(max_size=4), max_size=5)


@given(IDS, IDS)
def test_fingerprints_agree_exactly_where_the_ids_do(one, other):
    assert (catalog_fingerprint(one) == catalog_fingerprint(other)) == (one == other)


def test_the_fingerprint_is_of_the_ids_led_by_their_lengths():
    import hashlib

    assert catalog_fingerprint(["ab", "é"]) == hashlib.sha256("2:ab2:é".encode()).hexdigest()
    assert catalog_fingerprint(iter(["1:a"])) != catalog_fingerprint(["1", "a"])


def test_items_are_written_with_counts_and_read_back(tmp_path):
    items = pl.DataFrame({"item": [0, 1], "item_id": ["a", "b"], "title": ["A", None]})
    write_items(items, np.array([3, 0]), tmp_path / "items.parquet")
    found = read_items(tmp_path / "items.parquet")
    assert found.rows() == [(0, "a", "A", 3), (1, "b", None, 0)]


@pytest.mark.parametrize(
    "columns",
    [
        {"item": [1, 0], "item_id": ["a", "b"]},
        {"item": [0, 1], "item_id": ["a", None]},
        {"item": [0], "item_id": [5]},
        {"item": [0]},
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path, columns):
    file = tmp_path / "items.parquet"
    pl.DataFrame(columns).write_parquet(file)
    with pytest.raises(SeqRecError, match="items.parquet: "):
        read_items(file)
    with pytest.raises(SeqRecError, match="no such file"):
        read_items(tmp_path / "gone")
    file.write_bytes(b"x")
    with pytest.raises(SeqRecError, match="not a Parquet file"):
        read_items(file)


def test_a_models_items_come_with_counts_or_are_refused(tmp_path):
    file = tmp_path / "items.parquet"
    items = pl.DataFrame({"item": [0, 1], "item_id": ["a", "b"]})
    write_items(items, np.array([3, 0]), file)
    assert read_model_items(file)["num_interactions"].to_list() == [3, 0]
    items.write_parquet(file)
    with pytest.raises(SeqRecError, match="items.parquet: column num_interactions is missing"):
        read_model_items(file)
    items.with_columns(num_interactions=pl.Series([1, None])).write_parquet(file)
    with pytest.raises(SeqRecError, match="num_interactions is not an integer"):
        read_model_items(file)


def test_texts_are_of_words_numbers_and_lists_of_them():
    items = pl.DataFrame(
        {
            "title": ["Heat", None],
            "year": [1995.0, float("nan")],
            "cast": [[1, 2], []],
            "genres": [["Crime", None], None],
            "rows": [{"a": 1}, None],
        }
    )
    columns = ["title", "year", "cast", "genres"]
    assert item_texts(items, columns, "key") == ["Heat. 1995.0. 1, 2. Crime", ""]
    with pytest.raises(SeqRecError, match="key: column 'rows' of the items holds Struct.*no text"):
        item_texts(items, ["rows"], "key")
