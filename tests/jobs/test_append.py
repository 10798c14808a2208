"""Appended logs: equal to the prepared log of all rows, but for the numbers of users and items."""

import shutil

import numpy as np
import polars as pl
import pytest

import seqrec
from seqrec.cli import main
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.jobs import append as module

DAY = 86_400


def random_log(seed, num_rows=300):
    """A log of rows in any order of time, with ties, repeats and few users and items."""
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "user_id": [f"u{n}" for n in random.integers(0, 20, num_rows)],
            "item_id": [f"i{n}" for n in random.integers(0, 30, num_rows)],
            "timestamp": 1_700_000_000 + random.integers(0, 60, num_rows) * DAY,
            "rating": random.integers(1, 6, num_rows),
            "row": np.arange(num_rows),
        }
    )


def by_id(folder):
    """The histories with ids: every user's rows in order, with their parts."""
    data = PreparedData.open(folder)
    rows = data.interactions().with_row_index("at")
    rows = rows.join(data.users().select("user", "user_id"), on="user")
    rows = rows.join(data.items().select("item", "item_id"), on="item")
    return rows.sort("user_id", "at").select("user_id", "item_id", "time", "rating", "row", "split")


OPTIONS = {
    "leave-one-out": {},
    "last three": {"split_by": "last-n:3"},
    "a quantile": {"split_by": "global-time:0.8"},
    "dates": {"split_by": "date:2023-12-10,2023-12-20,2024-01-05"},
    "successive": {"split_by": "date:2023-12-20", "targets": "successive"},
    "an order": {"order": "row"},
    "ratings": {"min_rating": 2},
    "no split": {"split_by": "none"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_several_appends_equal_the_log_of_all_rows(tmp_path, options, seed):
    log = random_log(seed).unique(
        ["user_id", "item_id", "timestamp", "rating"], keep="first", maintain_order=True
    )
    whole = seqrec.prepare(log, out=tmp_path / "whole", **options)
    parts = [log[:120], log[120:121], log[121:]]
    folder = seqrec.prepare(parts[0], out=tmp_path / "parts", **options)["out"]
    before = [PreparedData.open(folder).users(), PreparedData.open(folder).items()]
    for part in parts[1:]:
        result = seqrec.prepare(part, append=True, to=folder)
    assert by_id(folder).equals(by_id(tmp_path / "whole"))
    for name in ("counts", "split_points", "ordered_by", "understood"):
        mine, other = result[name], whole[name]
        if name == "understood":
            mine, other = ({**one, "columns": None, "notes": None} for one in (mine, other))
        assert mine == other, name
    after = PreparedData.open(folder)
    assert after.users()[: len(before[0])].equals(before[0])
    assert after.items()[: len(before[1])].equals(before[1])
    grown = [part["new_rows"] for part in result["appended"]]
    assert len(grown) == 2 and len(by_id(folder)) - sum(grown) <= 120


def test_consecutive_repeats_are_dropped_across_the_border(tmp_path):
    log = random_log(2).sort("timestamp", maintain_order=True)
    log = log.with_columns(timestamp=1_700_000_000 + pl.col("row").rank("ordinal") * 60)
    options = {"repeats": "drop-consecutive"}
    seqrec.prepare(log, out=tmp_path / "whole", **options)
    seqrec.prepare(log[:200], out=tmp_path / "parts", **options)
    rows = log.sort("timestamp")
    seqrec.prepare(rows[:200], out=tmp_path / "sorted", **options)
    result = seqrec.prepare(rows[200:], append=True, to=tmp_path / "sorted")
    seqrec.prepare(rows, out=tmp_path / "whole", overwrite=True, **options)
    assert by_id(tmp_path / "sorted").equals(by_id(tmp_path / "whole"))
    assert result["counts"] == PreparedData.open(tmp_path / "whole").manifest["counts"]
    with pytest.raises(SeqRecError, match="1 of 1 rows are earlier than the last of"):
        seqrec.prepare(rows[:1], append=True, to=tmp_path / "sorted")


def test_rows_that_are_there_already_are_refused_or_dropped(tmp_path):
    log = random_log(3)[:50].unique(["user_id", "item_id", "timestamp", "rating"])
    kept = seqrec.prepare(log, out=tmp_path / "kept")["out"]
    before = (tmp_path / "kept" / "manifest.json").read_bytes()
    with pytest.raises(SeqRecError, match="10 of 10 rows are already in .*drop-duplicates"):
        seqrec.prepare(log[:10], append=True, to=kept)
    assert (tmp_path / "kept" / "manifest.json").read_bytes() == before
    folder = seqrec.prepare(log, out=tmp_path / "dropped", repeats="drop-duplicates")["out"]
    rows = by_id(folder)
    result = seqrec.prepare(log[:10], append=True, to=folder)
    assert result["counts"]["duplicates_dropped"] == 10 and by_id(folder).equals(rows)


def test_the_same_file_is_refused_and_tables_without_news_keep_their_bytes(tmp_path):
    log = random_log(4)
    log.write_csv(tmp_path / "log.csv")
    folder = tmp_path / "data"
    seqrec.prepare(tmp_path / "log.csv", out=folder, order="row")
    with pytest.raises(SeqRecError, match="log.csv: is already in"):
        seqrec.prepare(tmp_path / "log.csv", append=True, to=folder)
    old = {name: (folder / name).read_bytes() for name in ("items.parquet", "users.parquet")}
    more = log[:2].with_columns(timestamp=pl.col("timestamp") + 99 * DAY, row=pl.col("row") + 999)
    more.write_csv(tmp_path / "more.csv")
    with pytest.raises(SystemExit) as ended:
        main(["prepare", "--append", str(tmp_path / "more.csv"), "--to", str(folder)])
    assert not ended.value.code
    assert old == {name: (folder / name).read_bytes() for name in old}
    assert PreparedData.open(folder).manifest["counts"]["interactions"] == len(log) + 2
    with pytest.raises(SeqRecError, match="more.csv: is already in"):
        seqrec.prepare(tmp_path / "more.csv", append=True, to=folder)


def test_an_append_that_fails_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    seqrec.prepare(random_log(5), out=folder)
    shutil.copytree(folder, tmp_path / "copy")

    def fail(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_appended", fail)
    later = random_log(6).with_columns(timestamp=pl.col("timestamp") + 99 * DAY)
    with pytest.raises(SeqRecError, match="No space left"):
        seqrec.prepare(later, append=True, to=folder)
    assert by_id(folder).equals(by_id(tmp_path / "copy"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "data"]


def test_a_log_without_times_goes_on_at_the_end_of_each_history(tmp_path):
    rows = pl.DataFrame({"user_id": list("aabba"), "item_id": list("xyxzw")})
    seqrec.prepare(rows[:3], out=tmp_path / "data")
    seqrec.prepare(rows[3:], append=True, to=tmp_path / "data")
    data = PreparedData.open(tmp_path / "data")
    ids = data.items()["item_id"].to_list()
    histories = data.histories()
    found = [
        [ids[item] for item in part] for part in np.split(histories.items, histories.offsets[1:-1])
    ]
    assert found == [["x", "y", "w"], ["x", "z"]]


REFUSED = {
    "a core": ({"min_user": 2}, {}, "--min-user 2 .*prepare both logs in one"),
    "withheld items": ({"cold_share": 0.2}, {}, "--cold-share 0.2"),
    "another split": ({}, {"split_by": "last-n:2"}, "--split-by: .*leave it out"),
    "a folder alone": ({}, {"append": False}, "--append, --to: name both"),
    "another folder": ({}, {"out": "x"}, "--out: .*leave it out"),
}


@pytest.mark.parametrize(("options", "more", "message"), REFUSED.values(), ids=REFUSED)
def test_options_that_cannot_hold_are_refused(tmp_path, options, more, message):
    seqrec.prepare(random_log(7), out=tmp_path / "data", **options)
    with pytest.raises(SeqRecError, match=message):
        seqrec.prepare(random_log(8), **{"append": True, "to": tmp_path / "data", **more})


def test_a_column_of_another_kind_is_refused(tmp_path):
    seqrec.prepare(random_log(9), out=tmp_path / "data")
    later = random_log(9).with_columns(timestamp=pl.col("timestamp") + 99 * DAY, row=pl.lit("x"))
    with pytest.raises(SeqRecError, match="column 'row' holds String"):
        seqrec.prepare(later, append=True, to=tmp_path / "data")


def test_features_of_new_items_come_from_their_file(tmp_path):
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]})
    rows = pl.DataFrame(
        {"user_id": ["u"] * 3, "item_id": list("aba"), "timestamp": [1e9, 2e9, 3e9]}
    )
    seqrec.prepare(rows[:2].cast({"timestamp": pl.Int64}), out=tmp_path / "data", items=items)
    more = pl.DataFrame({"item_id": ["c"], "title": ["C"]})
    new = pl.DataFrame({"user_id": ["u"], "item_id": ["c"], "timestamp": [2_100_000_000]})
    seqrec.prepare(new, append=True, to=tmp_path / "data", items=more)
    assert PreparedData.open(tmp_path / "data").items()["title"].to_list() == ["A", "B", "C"]


def test_other_column_names_are_named(tmp_path):
    seqrec.prepare(random_log(10), out=tmp_path / "data")
    later = random_log(11).with_columns(timestamp=pl.col("timestamp") + 99 * DAY)
    later = later.rename({"user_id": "customer"})
    with pytest.raises(SeqRecError, match="no such column.*of this log with --user"):
        seqrec.prepare(later, append=True, to=tmp_path / "data")
    result = seqrec.prepare(later, append=True, to=tmp_path / "data", user="customer")
    assert result["counts"]["interactions"] == 600
