"""The labels file: rows that are read, counted and refused."""

import numpy as np
import polars as pl
import pytest

import seqrec
from seqrec.data.feedback.labels import read_labels
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError

TEXTS = {
    "labels.csv": "user_id,history,slate,label\n"
    'u,,"[""d"", ""e""]",1\n,"[""a"", ""zz"", ""b""]",c,0.25\nu,,e,0\n',
    "labels.jsonl": '{"user_id": "u", "slate": ["d", "e"], "label": 1}\n'
    '{"history": ["a", "zz", "b"], "slate": ["c"], "label": 0.25}\n'
    '{"user_id": "u", "slate": ["e"], "label": 0}\n',
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    log = pl.DataFrame(
        {
            "user": ["u"] * 5 + ["v"] * 5,
            "item": list("abcde") + list("bcade"),
            "rating": [5, None, 3, 2, 1, 4, 4, 4, 4, 4],
        }
    )
    folder = tmp_path_factory.mktemp("labels") / "data"
    seqrec.prepare(log, out=folder)
    return PreparedData.open(folder)


def read(file, data):
    found = read_labels(file, data, data.histories(["rating"]))
    item_ids = data.items()["item_id"].to_list()
    starts = found.histories.starts
    return found, [
        (
            "".join(item_ids[i] for i in found.histories.get(h, starts[h])),
            "".join(item_ids[i] for i in slate if i >= 0),
            label,
        )
        for h, slate, label in zip(found.history_of, found.slates, found.labels, strict=True)
    ]


@pytest.mark.parametrize(("name", "text"), TEXTS.items())
def test_labels_are_read_and_histories_stand_once(data, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    found, rows = read(tmp_path / name, data)
    assert rows == [("abc", "de", 1), ("ab", "c", 0.25), ("abc", "e", 0)]
    np.testing.assert_array_equal(found.ratings, [5, np.nan, 3, np.nan, np.nan])
    assert found.keys == ["u", "a zz b"] and found.history_of.tolist() == [0, 1, 0]
    assert found.counts["rows"] == found.counts["used"] == 3


def test_answers_may_be_single_items_and_unusable_rows_are_counted(data, tmp_path):
    table = pl.DataFrame(
        {
            "user_id": ["u", "u", "nobody", "v", "v"],
            "item_id": ["d", "a", "d", "zz", None],
            "label": [0.5, 1, 1, 1, 1],
        }
    )
    table.write_parquet(tmp_path / "labels.parquet")
    found, rows = read(tmp_path / "labels.parquet", data)
    assert rows == [("abc", "d", 0.5)]
    reasons = ("already_in_history", "unknown_users", "unknown_ids")
    assert [found.counts[reason] for reason in reasons] == [1, 1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id,slate\nu,d\n", "no column label"),
        ("user_id,label\nu,1\n", "no column slate"),
        ("slate,label\nd,1\n", "no column user_id or history"),
        ("user_id,slate,label\nu,d,1\nu,e,1.5\n", "1 labels are not from 0 to 1, .* row 2"),
        ("user_id,slate,label\nu,d,good\n", "1 labels are not from 0 to 1"),
        ("user_id,slate,label\nnobody,d,1\n", "no row can be used .*unknown users: 1"),
    ],
)
def test_files_that_say_nothing_are_refused(data, tmp_path, text, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(SeqRecError, match=message):
        read(tmp_path / "labels.csv", data)
