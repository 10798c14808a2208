"""A run that was interrupted can be used: its best epoch so far recommends and is judged."""

import logging

import pytest
import torch
from safetensors.torch import load_file

import seqrec
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.training.epoch_log import EpochLog

SETTINGS = [
    "data.max_length=16",
    "data.batch_size=16",
    "model.hidden_size=16",
    "trainer.max_epochs=6",
    "trainer.learning_rate=0.01",
    "trainer.warmup_steps=1",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "prepared"
    seqrec.prepare(first_order_world(num_items=30, seed=0).simulate(80, 12, seed=1), out=folder)
    return folder


def cut_off(data, out, epoch, *more):
    """Train until an epoch starts."""
    plain = EpochLog.on_train_epoch_start

    def end(self, trainer, module):
        if trainer.current_epoch == epoch:
            raise MemoryError("cut off")
        plain(self, trainer, module)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EpochLog, "on_train_epoch_start", end)
        with pytest.raises(MemoryError):
            seqrec.train("sft", data=data, out=out, overrides=[*SETTINGS, *more])


def collect(value, key):
    """All values of a key in nested results, in order."""
    if isinstance(value, dict):
        own = [value[key]] if key in value else []
        return own + [one for part in value.values() for one in collect(part, key)]
    return [one for part in value for one in collect(part, key)] if isinstance(value, list) else []


@pytest.mark.parametrize("more", [[], ["trainer.ema_decay=0.9"]])
def test_the_best_epoch_of_an_unfinished_run_is_that_of_a_shorter_run(data, tmp_path, more, caplog):
    """A run that ends where the other was cut off has chosen the same weights."""
    cut_off(data, tmp_path / "run", 3, *more)
    short = [*SETTINGS, *more, "trainer.max_epochs=3"]
    seqrec.train("sft", data=data, out=tmp_path / "short", overrides=short)
    partial = tmp_path / "run.partial"
    weights, expected = (
        load_file(run / "model" / "model.safetensors") for run in (partial, tmp_path / "short")
    )
    assert weights.keys() == expected.keys()
    for name in expected:
        assert torch.equal(weights[name], expected[name])
    with caplog.at_level(logging.WARNING):
        unfinished = seqrec.Recommender.from_pretrained(partial)
    assert caplog.text.count("is not finished; its best epoch so far is used") == 1
    whole = seqrec.Recommender.from_pretrained(tmp_path / "short")
    ids = whole.items["item_id"].to_list()[:2]
    assert unfinished.recommend([ids], k=5) == whole.recommend([ids], k=5)
    judged = [
        seqrec.evaluate(run, data=data, out=tmp_path / f"report-{number}")
        for number, run in enumerate((partial, tmp_path / "short"))
    ]
    found, expected_values = (collect(result, "ndcg@10") for result in judged)
    assert found and found == expected_values
    seqrec.export(partial, to="numpy", out=tmp_path / "vectors")
    caplog.clear()
    seqrec.train("sft", data=data, out=tmp_path / "run", overrides=[*SETTINGS, *more], resume=True)
    seqrec.Recommender.from_pretrained(tmp_path / "run")
    assert "not finished" not in caplog.text


def test_what_is_not_there_yet_is_named(data, tmp_path):
    cut_off(data, tmp_path / "run", 1)
    with pytest.raises(SeqRecError, match=r"is not finished; name .*run\.partial for its best"):
        seqrec.Recommender.from_pretrained(tmp_path / "run")
    cut_off(data, tmp_path / "none", 0)
    with pytest.raises(SeqRecError, match="none.partial"):
        seqrec.Recommender.from_pretrained(tmp_path / "none.partial")
