"""Ids in one form: spaces, whole floats, words for nothing, UUIDs."""

import uuid

import pandas as pd
import polars as pl
import pytest

from seqrec.data.log.ids import merge_equal, tidy_ids
from seqrec.data.log.normalization import ReadOptions, normalize
from seqrec.data.log.sources import read_source
from seqrec.errors import SeqRecError


def users(frame, **options) -> list[str]:
    """Return the user of every row."""
    found = normalize(read_source(frame), ReadOptions(**options))
    return found.user_ids.gather(found.table["user"]).to_list()


def log(user: list, **columns) -> pl.DataFrame:
    return pl.DataFrame({"user": user, "item": [str(row) for row in range(len(user))], **columns})


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([1000.0, 7.0], ["1000", "7"]),
        (["100000", "1e+05", "5.0"], ["100000", "100000", "5"]),
        (["1.5", "2.0"], ["1.5", "2"]),
        (["a", "2.0"], ["a", "2.0"]),
        (["007", "7"], ["007", "7"]),
        ([" a", "a", "a\t"], ["a", "a", "a"]),
        ([-3.0, 0.0], ["-3", "0"]),
    ],
)
def test_ids_have_one_form(ids, expected):
    assert users(log(ids)) == expected


def test_verbatim_ids_stay_as_they_are():
    assert users(log([" a", "a", "NA", "1.0"]), verbatim_ids=True) == [" a", "a", "NA", "1.0"]
    assert users(log([1.0, 2.0]), verbatim_ids=True) == ["1.0", "2.0"]


def test_a_float_that_is_not_exact_is_refused():
    with pytest.raises(SeqRecError, match=r"column 'user': the id 1e\+?16 is a float of 2\^53"):
        users(log([1e16]))


@pytest.mark.parametrize(
    "word", ["NA", "N/A", "nan", "NaN", "NULL", "null", "None", "\\N", " ", ""]
)
def test_rows_without_an_id_are_refused_or_dropped(word):
    frame = log(["1", word, "2", word])
    with pytest.raises(SeqRecError, match="2 of 4 rows have no id: .*--missing-ids drop"):
        users(frame)
    assert users(frame, missing_ids="drop") == ["1", "2"]
    assert normalize(read_source(frame), ReadOptions(missing_ids="drop")).num_without_id == 2
    items = pl.DataFrame({"user": ["1", "2"], "item": ["x", word]})
    with pytest.raises(SeqRecError, match="row 2: the item's id"):
        users(items)
    assert users(items, missing_ids="drop") == ["1"]


def test_uuids_are_their_text():
    ids = [uuid.UUID(int=row) for row in range(2)] + [uuid.uuid5(uuid.NAMESPACE_DNS, "x")]
    frame = pd.DataFrame({"user": ids, "item": [1, 2, 3]})
    assert users(frame) == [str(one) for one in ids]


def test_ids_of_mixed_objects_have_one_form():
    mixed = pd.DataFrame({"user": [1, "1", "b", 2.0], "item": [1, 2, 3, 4]}, dtype=object)
    assert users(mixed) == ["1", "1", "b", "2"]


def test_changed_ids_are_counted_by_rows():
    found = normalize(read_source(log(["a ", "a", "a ", "b"])))
    assert found.changed_ids == {"stripped_ids": 2, "whole_float_ids": 0}


def test_codes_of_equal_ids_are_merged():
    codes, ids = merge_equal(pl.Series([0, 1, 2, None, 3]), pl.Series(["a", "b", "a", None]))
    assert codes.to_list() == [0, 1, 0, None, None] and ids.to_list() == ["a", "b"]
    assert tidy_ids(pl.Series(["1", "2.50"]), "x").ids.to_list() == ["1", "2.50"]
