"""Sliding windows: prepared at several dates, evaluated each by itself, one table over them."""

import json

import numpy as np
import polars as pl
import pytest

import seqrec
from seqrec.cli import main
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError

WEEK = 7 * 86_400
START = int(np.datetime64("2024-01-01", "s").astype(np.int64))
SPLIT = "windows:2024-01-22,7d,3"


@pytest.fixture(scope="module")
def log():
    """A log whose events are spread over seven weeks, each user's in order."""
    log = first_order_world(num_items=20, seed=0).simulate(60, 14, seed=1)
    rank = log["timestamp"].rank("ordinal").to_numpy() - 1
    return log.with_columns(timestamp=START + (rank * (7 * WEEK) // len(log)).astype(np.int64))


@pytest.fixture(scope="module")
def windows(log, tmp_path_factory):
    out = tmp_path_factory.mktemp("windows") / "windows"
    return seqrec.prepare(log, out=out, split_by=SPLIT)


def test_every_window_is_the_split_at_its_dates(log, windows, tmp_path):
    assert len(windows["windows"]) == 3
    for number, begin in enumerate(("2024-01-15,2024-01-22,2024-01-29",), 1):
        alone = seqrec.prepare(log, out=tmp_path / "alone", split_by=f"date:{begin}")
        window = PreparedData.open(f"{windows['out']}/window-{number}")
        assert window.fingerprint == PreparedData.open(alone["out"]).fingerprint
    weeks = log.with_columns(week=(pl.col("timestamp") - START) // WEEK)["week"].value_counts()
    per_week = dict(weeks.rows())
    for number, window in enumerate(windows["windows"]):
        counts = window["counts"]
        assert counts["test"] == per_week[3 + number]
        assert counts["validation"] == per_week[2 + number]
        assert counts["train"] == sum(per_week[week] for week in range(2 + number))


def test_the_table_is_mean_and_deviation_over_the_windows(windows, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["evaluate", "popularity", "transitions", "--data", windows["out"], "--k", "5"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--out", str(out)])
    assert not ended.value.code
    printed = capsys.readouterr().out
    result = json.loads((out / "metrics.json").read_text())
    alone = [
        seqrec.evaluate(["popularity", "transitions"], data=window["out"], k=5)["rows"]
        for window in windows["windows"]
    ]
    for row, *parts in zip(result["rows"], *alone, strict=True):
        for key in ("ndcg@5", "recall@5", "coverage@5"):
            values = [part[key] for part in parts]
            assert row[key] == pytest.approx(np.mean(values))
            assert row["sd"][key] == pytest.approx(np.std(values, ddof=1))
    assert any(note.startswith("window 2: ") for note in result["notes"])
    assert "mean and standard deviation over 3 windows" in printed and "ndcg@5 by window" in printed
    assert sorted(path.name for path in out.iterdir()) == [
        "metrics.json",
        *(f"window-{number}" for number in (1, 2, 3)),
    ]


def test_a_model_is_trained_on_each_window_and_named_once(windows, tmp_path):
    quick = ["model.hidden_size=16", "model.num_hidden_layers=1", "trainer.max_epochs=1"]
    for number in (1, 2, 3):
        data = f"{windows['out']}/window-{number}"
        seqrec.train("sft", data=data, out=tmp_path / f"run-{number}", overrides=quick)
    result = seqrec.evaluate(f"{tmp_path}/run-{{window}}", data=windows["out"], k=5)
    assert [row["system"] for row in result["rows"]] == ["run-{window}"]
    assert not any("learned from other data" in note for note in result["notes"])
    assert [row["window"] for row in result["windows"]] == [1, 2, 3]


def test_readers_of_one_prepared_folder_name_the_windows(windows, tmp_path):
    with pytest.raises(SeqRecError, match="holds 3 windows; name one, such as .*window-1"):
        seqrec.train("sft", data=windows["out"], out=tmp_path / "run")


def test_a_window_without_a_test_row_leaves_nothing_written(log, tmp_path):
    with pytest.raises(SeqRecError, match="nothing to test on"):
        seqrec.prepare(log, out=tmp_path / "x", split_by="windows:2024-01-22,7d,30")
    assert not list(tmp_path.iterdir())
