"""Training goes on with the new days of a grown log, beside a share of the old ones."""

import polars as pl
import pytest

import seqrec
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.ranking.recommender import Recommender

QUICK = [
    "data.max_length=12",
    "model.hidden_size=16",
    "model.intermediate_size=16",
    "model.num_hidden_layers=1",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
]
GO_ON = ["trainer.max_epochs=1", "trainer.accelerator=cpu", "data.batch_size=1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A first log of 2020, to which February 2021 adds users, and an item, of its own."""
    folder = tmp_path_factory.mktemp("data")
    world = first_order_world(num_items=30, seed=0)
    times = {"a": "2020-01-01", "b": "2021-02-01"}
    logs = [
        world.simulate(40, 10, seed=number).with_columns(
            pl.concat_str(pl.lit(name), "user_id").alias("user_id"),
            time=pl.lit(date).str.to_datetime() + pl.duration(hours=pl.int_range(pl.len())),
        )
        for number, (name, date) in enumerate(times.items())
    ]
    drop = [name for name in ("timestamp",) if name in logs[0].columns]
    first, second = (one.drop(drop) for one in logs)
    second = second.with_columns(
        item_id=pl.when(pl.col("item_id") == "t03").then(pl.lit("new")).otherwise("item_id")
    )
    out = seqrec.prepare(first, out=folder / "old")["out"]
    old = seqrec.train("sft", data=out, out=folder / "run", overrides=QUICK)["out"]
    seqrec.prepare(second, append=True, to=out)
    return out, old


def go_on(data, tmp_path, *overrides):
    folder, old = data
    settings = [*GO_ON, f"model.from_pretrained={old}", *overrides]
    return seqrec.train("sft", data=folder, out=tmp_path / "new", overrides=settings)


def test_steps_are_those_of_new_windows_and_a_share_of_the_old_ones(data, tmp_path):
    steps = {}
    for share in (0.0, 0.5, 1.0):
        run = go_on(
            data, tmp_path / str(share), f"data.replay={{since: 2021-02-01, share: {share}}}"
        )
        steps[share] = run["num_steps"]
    whole = go_on(data, tmp_path / "whole")["num_steps"]
    assert steps[1.0] == whole and steps[0.0] == pytest.approx(whole / 2, abs=2)
    assert steps[0.0] < steps[0.5] < steps[1.0]
    new = Recommender.from_pretrained(tmp_path / "0.0" / "new")
    assert "new" in new.item_ids
    assert new.items.filter(item_id="new")["num_interactions"].item() > 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.replay={since: 2022-01-01}"], "data.replay.since: no interaction of the training"),
        (["data.replay={since: soon}"], "data.replay.since: 'soon' is no date"),
        (["data.replay={since: 2021-02-01, share: 2}"], "data.replay.share"),
    ],
)
def test_mistakes_are_one_line(data, tmp_path, overrides, message):
    with pytest.raises(SeqRecError, match=message) as caught:
        go_on(data, tmp_path, *overrides)
    assert "\n" not in str(caught.value)


def test_a_new_model_has_nothing_to_replay(data, tmp_path):
    settings = [*QUICK, "data.replay={since: 2021-02-01}"]
    with pytest.raises(SeqRecError, match=r"data\.replay: a new model has seen no old days"):
        seqrec.train("sft", data=data[0], out=tmp_path / "x", overrides=settings)
