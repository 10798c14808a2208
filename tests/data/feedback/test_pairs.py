"""The pairs file: rows that are read, counted and refused."""

import numpy as np
import polars as pl
import pytest

import seqrec
from seqrec.data.feedback.annotation_files import read_comparisons
from seqrec.data.feedback.pairs_file import (
    build_pairs,
    build_pairs_table,
    pairs_to_table,
    read_pairs,
    write_pairs,
)
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    log = pl.DataFrame({"user": ["u"] * 5 + ["v"] * 5, "item": list("abcde") + list("bcade")})
    folder = tmp_path_factory.mktemp("pairs") / "data"
    seqrec.prepare(log, out=folder)
    return PreparedData.open(folder)


def written(table, tmp_path):
    file = tmp_path / "pairs.parquet"
    table.write_parquet(file)
    return file


def spelled(pairs, data):
    item_ids = data.items()["item_id"].to_list()
    return [
        (
            "".join(item_ids[i] for i in pairs.histories.get(row, start)),
            "".join(item_ids[i] for i in pairs.chosen[row] if i >= 0),
            ["".join(item_ids[i] for i in other if i >= 0) for other in pairs.rejected[row]],
        )
        for row, start in enumerate(pairs.histories.starts)
    ]


def test_pairs_are_read_as_they_were_written(data, tmp_path):
    table = build_pairs_table(
        ["u", None, "v"],
        [["a", "b"], ["c"], ["d", "a", "b"]],
        ["c", "a", "e"],
        [["d"], ["b", "e"], ["c"]],
        source="ratings",
        weight=[1.0, 0.5, 0.0],
    )
    write_pairs(table, tmp_path / "pairs.parquet")
    pairs = read_pairs(tmp_path / "pairs.parquet", data)
    assert spelled(pairs, data) == [
        ("ab", "c", ["d", ""]),
        ("c", "a", ["b", "e"]),
        ("dab", "e", ["c", ""]),
    ]
    assert pairs.user_ids == ["u", None, "v"] and pairs.weight.tolist() == [1, 0.5, 0]
    assert pairs.counts["used"] == pairs.counts["rows"] == 3
    assert pairs_to_table(pairs, data).equals(table)


def test_a_user_without_a_history_has_the_training_part(data, tmp_path):
    table = pl.DataFrame({"user_id": ["v", "nobody"], "chosen": ["e", "a"], "rejected": ["a", "b"]})
    pairs = read_pairs(written(table, tmp_path), data)
    histories = data.histories()
    user = data.users()["user_id"].to_list().index("v")
    part = slice(histories.offsets[user], histories.offsets[user + 1])
    training = histories.items[part][histories.split[part] == TRAIN]
    np.testing.assert_array_equal(pairs.histories.values, training)
    assert pairs.counts["unknown_users"] == pairs.counts["empty_histories"] == 1


def test_slates_are_lists_and_one_rejected_slate_needs_no_nesting(data, tmp_path):
    history = [["a"], ["b"]]
    slates = {"history": history, "chosen": [["b", "c"], ["c"]]}
    one = pl.DataFrame({**slates, "rejected": [["d", "e"], ["a", "d"]]})
    several = pl.DataFrame({**slates, "rejected": [[["d", "e"]], [["a", "d"], ["e"]]]})
    assert spelled(read_pairs(written(one, tmp_path), data), data) == [
        ("a", "bc", ["de"]),
        ("b", "c", ["ad"]),
    ]
    pairs = read_pairs(written(several, tmp_path), data)
    assert spelled(pairs, data) == [("a", "bc", ["de", ""]), ("b", "c", ["ad", "e"])]
    assert spelled(build_pairs(pairs_to_table(pairs, data), tmp_path, data, ""), data) == spelled(
        pairs, data
    )


FAULTY = {
    "chosen_equals_rejected": {"chosen": "b", "rejected": ["c", "b"]},
    "unknown_ids": {"chosen": "b", "rejected": ["z"]},
    "without_answer": {"chosen": None, "rejected": []},
    "empty_histories": {"history": []},
}


@pytest.mark.parametrize(("reason", "changes"), FAULTY.items())
def test_unusable_rows_are_skipped_and_counted(data, tmp_path, reason, changes):
    good = {"history": ["a"], "chosen": "b", "rejected": ["c"]}
    schema = {
        "history": pl.List(pl.String),
        "chosen": pl.String,
        "rejected": pl.List(pl.String),
    }
    rows = [good, {**good, **changes}, good]
    pairs = read_pairs(written(pl.DataFrame(rows, schema=schema), tmp_path), data)
    assert pairs.counts[reason] == 1 and pairs.counts["used"] == len(pairs) == 2
    file = written(pl.DataFrame([{**good, **changes}], schema=schema), tmp_path)
    with pytest.raises(SeqRecError, match=rf"{file}.*no pair can be used .*{reason[:5]}"):
        read_pairs(file, data)


def test_an_example_of_each_unknown_id_is_named(data, tmp_path):
    columns = {"user_id": ["u", "x", "y"], "history": [["a", "q"], None, None]}
    table = pl.DataFrame({**columns, "chosen": ["b", "b", "c"], "rejected": ["w", "c", "v"]})
    good = pl.DataFrame({"user_id": ["u"], "history": [["a"]], "chosen": "b", "rejected": "c"})
    pairs = read_pairs(written(pl.concat([good, table]), tmp_path), data)
    assert pairs.unknown == {
        "unknown_items_in_histories": "q",
        "unknown_users": "x",
        "unknown_ids": "w",
    }
    with pytest.raises(SeqRecError, match=r"unknown users: 2 \(such as 'x'\).*ids: 1 .*'w'"):
        read_pairs(written(table, tmp_path), data)


def test_unknown_items_in_histories_are_skipped_and_a_slates_repeats_counted(data, tmp_path):
    table = pl.DataFrame(
        {
            "history": [["a", "z"], ["a"]],
            "chosen": [["b", "c"], ["b", "b"]],
            "rejected": [["d"], ["c"]],
        }
    )
    pairs = read_pairs(written(table, tmp_path), data)
    assert spelled(pairs, data) == [("a", "bc", ["d"])]
    assert pairs.counts["unknown_items_in_histories"] == 1
    assert pairs.counts["repeats_in_a_slate"] == 1


def test_pairs_with_an_item_without_a_row_are_excluded_and_counted(data, tmp_path):
    """A content model has rows for the first items of the catalog; histories may hold all items."""
    a, b, c, _, new = data.items()["item_id"]
    columns = {"history": [[new], [a], [a], [a]], "chosen": [[b], [new], [b], [b, new]]}
    table = pl.DataFrame({**columns, "rejected": [[c], [b], [new], [c]]})
    pairs = read_pairs(written(table, tmp_path), data, num_items=4)
    assert spelled(pairs, data) == [(new, b, [c])]
    assert (pairs.counts["without_row"], pairs.counts["used"], pairs.num_items) == (3, 1, 4)
    assert read_pairs(written(table, tmp_path), data).counts["without_row"] == 0
    with pytest.raises(SeqRecError, match=r"no pair can be used .*without row: 3"):
        read_pairs(written(table[1:], tmp_path), data, num_items=4)


def test_likes_and_dislikes_may_stand_alone(data, tmp_path):
    table = pl.DataFrame(
        {"history": [["a"], ["a"], ["a"]], "chosen": ["b", None, "c"], "rejected": [None, "c", "d"]}
    )
    pairs = read_pairs(written(table, tmp_path), data)
    assert pairs.is_one_sided.tolist() == [True, True, False]


REFUSED = {
    "neither column 'chosen'": {"history": [["a"]], "better": ["b"]},
    "neither column 'user_id'": {"chosen": ["b"], "rejected": ["c"]},
    "not lists of item ids": {"history": [3.5], "chosen": ["b"], "rejected": ["c"]},
    "rejected a list of either": {"history": [["a"]], "chosen": [[["b"]]], "rejected": ["c"]},
    "1 weights are negative or not a number, the first in row 2": {
        "history": [["a"]] * 2,
        "chosen": ["b"] * 2,
        "rejected": ["c"] * 2,
        "weight": [1.0, -1.0],
    },
    "row 1 .nan": {"history": [["a"]], "chosen": ["b"], "rejected": ["c"], "weight": [np.nan]},
    "not numbers": {"history": [["a"]], "chosen": ["b"], "rejected": ["c"], "weight": ["much"]},
    "weight 1e.07 in row 2: at most 1,000,000": {
        "history": [["a"]] * 2,
        "chosen": ["b"] * 2,
        "rejected": ["c"] * 2,
        "weight": [1e6, 1e7],
    },
    "weight 1e.39 in row 1": {
        "history": [["a"]],
        "chosen": ["b"],
        "rejected": ["c"],
        "weight": [1e39],
    },
    "wieght.*weight": {"history": [["a"]], "chosen": ["b"], "rejected": ["c"], "wieght": [2.0]},
    "userid.*user_id": {"history": [["a"]], "chosen": ["b"], "rejected": ["c"], "userid": ["u"]},
    "sources.*source": {"history": [["a"]], "chosen": ["b"], "rejected": ["c"], "sources": ["x"]},
    "is empty": {"history": [], "chosen": [], "rejected": []},
    "all weights are 0": {"history": [["a"]], "chosen": ["b"], "rejected": ["c"], "weight": [0]},
}


@pytest.mark.parametrize(("complaint", "columns"), REFUSED.items())
def test_a_file_of_another_kind_is_refused_in_one_line(data, tmp_path, complaint, columns):
    file = written(pl.DataFrame(columns, strict=False), tmp_path)
    with pytest.raises(SeqRecError, match=complaint.replace(".nan", r"\(nan")) as mistake:
        read_pairs(file, data)
    assert "\n" not in str(mistake.value) and str(file) in str(mistake.value)


def test_a_missing_and_a_broken_file_are_refused(data, tmp_path):
    with pytest.raises(SeqRecError, match="no such file"):
        read_pairs(tmp_path / "none.parquet", data)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(SeqRecError, match="not a Parquet file"):
        read_pairs(tmp_path / "broken.parquet", data)


def test_the_same_users_are_held_out_whatever_else_the_file_holds(data, tmp_path):
    names = [f"p{number}" for number in range(400)]
    columns = {"history": [["a"]] * 400, "chosen": ["b"] * 400, "rejected": ["c"] * 400}
    table = pl.DataFrame({"user_id": names, **columns})
    pairs = read_pairs(written(table, tmp_path), data)
    held = pairs.is_held_out(0.2)
    assert 50 < held.sum() < 110
    half = read_pairs(written(table[::-2], tmp_path), data)
    assert half.is_held_out(0.2).tolist() == held[::-2].tolist()
    assert (pairs.is_held_out(0.1) <= held).all() and not pairs.is_held_out(0.0).any()


def test_every_pair_has_an_unrelated_answer_of_another_pair(data, tmp_path):
    table = pl.DataFrame({"history": [["a"]] * 4, "chosen": list("bcde"), "rejected": list("aaaa")})
    pairs = read_pairs(written(table, tmp_path), data)
    found = pairs.unrelated()[:, 0]
    assert sorted(found) == sorted(pairs.chosen[:, 0]) and (found != pairs.chosen[:, 0]).all()


TEXTS = {
    "human.csv": 'history,chosen,rejected,weight\n"[""a"", ""b""]",c,d,2\na,b,"[""c"", ""d""]",\n',
    "human.tsv": 'history\tchosen\trejected\tweight\n["a","b"]\tc\td\t2\na\tb\t["c","d"]\t\n',
    "human.jsonl": '{"history": ["a", "b"], "chosen": "c", "rejected": ["d"], "weight": 2}\n'
    '{"history": ["a"], "chosen": "b", "rejected": ["c", "d"]}\n',
}


@pytest.mark.parametrize(("name", "text"), TEXTS.items())
def test_comparisons_are_read_from_text_files(data, tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text)
    pairs = build_pairs(read_comparisons(file), file, data, "")
    assert spelled(pairs, data) == [("ab", "c", ["d", ""]), ("a", "b", ["c", "d"])]
    assert pairs.weight.tolist() == [2, 1]


def test_text_that_is_no_comparison_is_refused(data, tmp_path):
    (tmp_path / "a.csv").write_text('history,chosen,rejected\n"[1",b,c\n')
    with pytest.raises(SeqRecError, match="row 2: history is not a JSON list"):
        read_comparisons(tmp_path / "a.csv")
    (tmp_path / "a.txt").write_text("a b c\n")
    for name, complaint in (("a.txt", "name a .parquet"), ("none.csv", "no such file")):
        with pytest.raises(SeqRecError, match=complaint):
            read_comparisons(tmp_path / name)
    (tmp_path / "b.csv").write_text("history,chosen,rejected,weight\na,b,c,much\n")
    with pytest.raises(SeqRecError, match="not a number"):
        build_pairs(read_comparisons(tmp_path / "b.csv"), tmp_path / "b.csv", data, "")
