"""A model from a frame in one call."""

import tempfile
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

import seqrec
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError

QUICK = {"trainer": {"max_epochs": 1}, "model": {"hidden_size": 16}}


def test_a_frame_becomes_the_model_of_prepare_and_train(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    log = first_order_world(num_items=20, seed=0).simulate(40, 8, seed=1)
    log = log.rename({log.columns[0]: "who", log.columns[1]: "what"})
    fitted = seqrec.fit(log.to_pandas(), user="who", item="what", overrides=QUICK)
    assert not list((tmp_path / "temporary").iterdir())
    seqrec.prepare(log, out=tmp_path / "data", user="who", item="what")
    seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "run", overrides=QUICK)
    trained = seqrec.Recommender.from_pretrained(tmp_path / "run")
    histories = [trained.item_ids[:3], trained.item_ids[4:5], []]
    assert fitted.recommend(histories, k=5) == trained.recommend(histories, k=5)
    table = fitted.recommend(log.rename({"who": "user", "what": "item"}).to_pandas(), k=4)
    assert isinstance(table, pd.DataFrame) and table["user"].nunique() == 40
    result = seqrec.evaluate([fitted, "popularity"], data=tmp_path / "data", k=5)
    assert [row["system"] for row in result["rows"]] == ["fitted", "popularity"]


def test_fit_is_also_a_method_and_refuses_in_one_line():
    assert seqrec.Recommender.fit is seqrec.fit
    with pytest.raises(SeqRecError, match="^overrides: 3 is of type int"):
        seqrec.fit(pl.DataFrame({"user": ["a"], "item": ["b"]}), overrides=3)
    with pytest.raises(SeqRecError) as error:
        seqrec.fit(pl.DataFrame({"a": [1.5], "b": [2.5]}))
    assert "\n" not in str(error.value) and not list(Path(tempfile.gettempdir()).glob("seqrec-*"))
