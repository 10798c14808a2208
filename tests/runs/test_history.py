"""The report that an evaluation writes, over real runs of a small world."""

import json
import shutil

import pytest

import seqrec
from seqrec.data.simulation.worlds import first_order_world
from seqrec.runs.history import trained_models

QUICK = ["trainer.max_epochs=2", "data.max_length=10", "model.hidden_size=16", "data.batch_size=16"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "prepared"
    seqrec.prepare(first_order_world(num_items=40, seed=1).simulate(80, 8, seed=2), out=folder)
    return folder


@pytest.fixture(scope="module")
def runs(prepared, tmp_path_factory):
    """A run named like a tag, and one of two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    seqrec.train("sft", data=prepared, out=folder / "<script>", overrides=QUICK)
    seqrec.train("sft", data=prepared, out=folder / "two", overrides=QUICK, seeds=[3, 4])
    return folder


def test_evaluate_writes_a_page_of_all_it_found(runs, prepared, tmp_path):
    systems = [runs / "two", runs / "<script>", "popularity"]
    found = seqrec.evaluate(systems, data=prepared, out=tmp_path / "judged")
    page = (tmp_path / "judged" / "report.html").read_text(encoding="utf-8")
    assert "http" not in page and "<script>" not in page and "&lt;script&gt;" in page
    assert found["protocol"] in page and "looks into the future" in page
    assert page.count("ndcg@10, two against") == 2
    assert seqrec.__version__ in page and "trainer:" in page
    assert json.loads((tmp_path / "judged" / "metrics.json").read_text())["models"] == {
        "two": str(runs / "two"),
        "<script>": str(runs / "<script>"),
        "popularity": "popularity",
    }


def test_a_model_folder_in_its_run_is_chosen_as_the_run_was(runs, prepared, tmp_path):
    shutil.copytree(runs / "two" / "seed-3" / "model", tmp_path / "alone")
    said = "; models chosen by validation ndcg@10; seeds: 1"
    found = seqrec.evaluate(runs / "two" / "seed-3" / "model", data=prepared)["protocol"]
    assert found.endswith(said)
    assert said not in seqrec.evaluate(tmp_path / "alone", data=prepared)["protocol"]


def test_trained_models_are_known_by_their_runs_and_a_model_folder_by_itself(runs, tmp_path):
    shutil.copytree(runs / "<script>" / "model", tmp_path / "alone")
    model = runs / "<script>" / "model"
    named = {"two": runs / "two", "one": model, "bare": tmp_path / "alone", "p": "popularity"}
    two, one, bare = trained_models(named)
    assert [run.seed for run in two.runs] == [3, 4] and "seed: 3" in two.settings
    assert len(one.runs) == 1 and len(one.runs[0].log) == 2
    assert bare.runs == [] and "catalog_fingerprint" in bare.settings
