"""Verbs called from Python with what data scientists have at hand."""

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import seqrec
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError

QUICK = {"trainer": {"max_epochs": 1}, "model": {"hidden_size": 16}, "data.max_length": 16}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    log = first_order_world(num_items=30, seed=0).simulate(60, 8, seed=1)
    return seqrec.prepare(log, out=tmp_path_factory.mktemp("calls") / "data")["out"]


@pytest.fixture(scope="module")
def run(data):
    return seqrec.train("sft", data=data, out=Path(data).parent / "run", overrides=QUICK)["out"]


@pytest.fixture(scope="module")
def lists(data):
    file = Path(data).parent / "recs.csv"
    seqrec.recommend("popularity", data=data, k=5, out=file)
    return file


def test_one_thing_is_a_list_of_one(data, run, lists):
    def evaluate(models="popularity", **options):
        rows = seqrec.evaluate(models, **({"data": data, "k": 5} | options))["rows"]
        return [{key: value for key, value in row.items() if "second" not in key} for row in rows]

    expected = evaluate(["popularity"], k=[5], recommendations=[str(lists)], retrieval=["exact"])
    assert evaluate(recommendations=lists, retrieval="exact", k=np.int64(5)) == expected
    frame = pd.read_csv(lists, dtype={"user_id": str, "item_id": str})
    by_frame = evaluate(recommendations=frame)
    assert [row["system"] for row in by_frame] == ["popularity", "recommendations"]
    for row, other in zip(by_frame, expected, strict=True):
        assert {**row, "system": 0} == {**other, "system": 0}
    assert evaluate(k="5,10") == evaluate(k=(10, 5))


def test_a_model_in_memory_is_judged_as_its_folder(data, run):
    recommender = seqrec.Recommender.from_pretrained(run)
    result = seqrec.evaluate(recommender, data=data, k=5)
    by_folder = seqrec.evaluate(run, data=data, k=5)
    key = "ndcg@5"
    assert result["rows"][0][key] == by_folder["rows"][0][key]
    assert result["protocol"] == by_folder["protocol"]
    assert recommender.name == "run"


@pytest.mark.parametrize(
    "options",
    [{"k": [5.0]}, {"k": None}, {"models": 3}, {"data": 3}, {"recommendations": 3}, {"split": 1}],
)
def test_a_wrong_type_is_one_line(data, options):
    with pytest.raises(SeqRecError) as error:
        seqrec.evaluate(**({"models": "popularity", "data": data} | options))
    assert next(iter(options)) in str(error.value) and "\n" not in str(error.value)


def test_short_lists_are_noted_in_plain_words(data, lists):
    short = pd.read_csv(lists, dtype=str)
    short = short[short["rank"].astype(int) < 3]
    notes = seqrec.evaluate("popularity", data=data, k=5, recommendations=short)["notes"]
    (note,) = [note for note in notes if "fewer" in note]
    assert "fewer than 5 items (missing ones are misses), '" in note and ",," not in note


def test_training_leaves_the_global_random_state(data, run, tmp_path):
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    again = seqrec.train("sft", data=data, out=tmp_path / "again", overrides=QUICK)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert before == after
    files = [Path(out) / "model" / "model.safetensors" for out in (run, again["out"])]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("seeds", [2, "2", [2], np.array([2])])
def test_seeds_are_one_or_several(data, tmp_path, seeds):
    out = tmp_path / "seeds"
    seqrec.train("sft", data=data, out=out, overrides=QUICK, seeds=seeds)
    assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "seed-2"]
