"""Baselines tuned on validation: the default is never lost, the test part never read."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import seqrec
from seqrec.baselines import BASELINES, build_baseline
from seqrec.baselines.settings import default_settings
from seqrec.builders.tuned_baselines import SELECTION_METRIC, tune_named_baselines
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import second_order_world
from seqrec.data.splits import TEST
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import build_queries, evaluate_lists

NAMES = ["popularity", "recent-popularity", "transition-graph", "item-knn:shrinkage=3.0"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("baselines")
    second_order_world(num_items=50, seed=0).simulate(150, 12, seed=1).write_csv(folder / "log.csv")
    seqrec.prepare(folder / "log.csv", out=folder / "data")
    return PreparedData.open(folder / "data")


def compute_value(name, settings, prepared):
    histories = prepared.histories(["time"])
    queries = build_queries(histories, "validation", "together")
    ranked = build_baseline(name, histories, prepared.num_items, settings)
    items = ranked.rank(queries.histories, 10).items
    return evaluate_lists(items, queries, [10], prepared.num_items).metrics[SELECTION_METRIC]


def test_the_chosen_settings_are_the_best_tried_and_no_worse_than_the_default(prepared, capsys):
    models, baselines = tune_named_baselines(
        ["popularity", *NAMES], prepared, prepared.histories(), 6
    )
    assert [baseline["baseline"] for baseline in baselines] == [n.partition(":")[0] for n in models]
    assert models[0] == "popularity" and "validation" not in baselines[0]
    tried = [float(line.split()[5]) for line in capsys.readouterr().err.splitlines()]
    for baseline, start in zip(baselines[2:], range(0, len(tried), 6), strict=True):
        name, settings = baseline["baseline"], baseline["settings"]
        assert baseline["num_trials"] == 6 and baseline["selection_metric"] == SELECTION_METRIC
        assert compute_value(name, settings, prepared) == baseline["validation"]
        assert max(tried[start : start + 6]) == pytest.approx(baseline["validation"], abs=1e-4)
        given = {"shrinkage": 3.0} if name == "item-knn" else {}
        assert baseline["validation"] >= compute_value(
            name, default_settings(BASELINES[name]) | given, prepared
        )
    assert baselines[-1]["settings"]["shrinkage"] == 3.0
    again = tune_named_baselines(models, prepared, prepared.histories(), 0)
    assert again[0] == models
    assert [f["settings"] for f in again[1]] == [f["settings"] for f in baselines]


def test_a_search_reads_nothing_of_the_test_part(prepared):
    histories = prepared.histories()
    one = tune_named_baselines(["transition-graph"], prepared, histories, 4)
    items = np.where(histories.split == TEST, 0, histories.items)
    other = replace(histories, items=items)
    assert tune_named_baselines(["transition-graph"], prepared, other, 4) == one


def test_evaluate_reports_how_baselines_were_tuned(prepared, tmp_path):
    arguments = {"data": prepared.path, "out": tmp_path / "judged"}
    result = seqrec.evaluate(["popularity", "transition-graph"], tune_baselines=3, **arguments)
    assert "best of 3 settings by validation ndcg@10" in result["protocol"]
    assert [row["system"] for row in result["rows"]] == ["popularity", "transition-graph"]
    (tuned,) = (baseline for baseline in result["baselines"] if "validation" in baseline)
    written = json.loads((tmp_path / "judged" / "metrics.json").read_text())
    assert written["baselines"] == result["baselines"] and "best of 3" in written["protocol"]
    (row,) = seqrec.evaluate(tuned["name"], data=prepared.path)["rows"]
    assert row["ndcg@10"] == result["rows"][1]["ndcg@10"]


def test_without_validation_there_is_nothing_to_tune_by(tmp_path):
    log = pl.DataFrame({"user": ["u"] * 2 + ["v"] * 2, "item": list("abca")})
    seqrec.prepare(log, out=tmp_path / "data")
    with pytest.raises(SeqRecError, match="no user in .* has a validation target"):
        seqrec.evaluate("item-knn", data=tmp_path / "data", tune_baselines=2)
