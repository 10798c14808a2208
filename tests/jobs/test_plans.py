"""Reinforcement learning of a policy that plans, by the verb."""

import json

import pytest

import seqrec
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.ranking.history_reading import find_items
from seqrec.rl.stage_log import read_events
from tests.objectives.test_reinforcement import QUICK, SMALL

NEXT_GENRE = "{name: next_genre, item: genres, place: before, is_learned: true, dropout: 0.3}"
LIKED = "{name: wanted, column: rating, place: before, is_learned: true}"
PLANNED = [*QUICK, "objective.slates={plan: true, sampler: plackett_luce, slate_size: 2}"]


def trained_on(folder, data, features):
    overrides = [*SMALL, "trainer.max_epochs=1", "trainer.accelerator=cpu"]
    if features:
        overrides.append(f"data.events={{features: [{', '.join(features)}]}}")
    return seqrec.train("sft", data=data, out=folder, overrides=overrides)["out"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plans")
    first_order_world(num_items=40, seed=0).write_log(folder, 80, 12, seed=1)
    data = seqrec.prepare(folder, out=folder / "data")["out"]
    return folder, data, trained_on(folder / "sft", data, [NEXT_GENRE])


def train(world, out, *overrides, run=None):
    settings = [*PLANNED, f"model.from_pretrained={run or world[2]}", *overrides]
    return seqrec.train("grpo", data=world[1], out=out, overrides=settings)


def test_a_policy_that_plans_learns_and_still_plans(world, tmp_path):
    more = ["objective.rewards=[{name: format}]", "objective.guard.max_kl_nats=9"]
    found = train(world, tmp_path / "rl", *more, "objective.num_updates=60")
    assert found["details"]["reason"] == "all updates done" and "no time input" in found["protocol"]
    events = [e for e in read_events(tmp_path / "rl" / "events.jsonl") if e["stage"] == "score"]
    first, last = (sum(e["reward"] for e in of) / 10 for of in (events[:10], events[-10:]))
    assert (
        last > first + 0.05 and found["details"]["reward"] > found["details"]["reward_before"] + 0.3
    )
    config = json.loads((tmp_path / "rl" / "model" / "config.json").read_text())
    assert config["events"]["features"][0]["name"] == "next_genre"
    rec = seqrec.Recommender.from_pretrained(tmp_path / "rl")
    assert rec.get_plans(rec.add_plans(find_items(rec.table, [["t01", "t02"]])[0]))[0]


def test_a_run_that_plans_repeats(world, tmp_path):
    runs = [train(world, tmp_path / name, "objective.max_staleness=0") for name in ("one", "other")]
    same = ("details", "validation")
    assert all(runs[0][key] == runs[1][key] for key in same) and runs[0]["details"]["kl_nats"] > 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("objective.slates.sampler=autoregressive", "plan: true goes with sampler plackett_luce"),
        ("objective.slates.plan=false", "reads events, which objective rl does not"),
    ],
)
def test_mistakes_are_named(world, tmp_path, override, message):
    with pytest.raises(SeqRecError, match=message) as mistake:
        train(world, tmp_path / "x", override)
    assert "\n" not in str(mistake.value) and not list(tmp_path.iterdir())


def test_who_has_no_plan_is_refused_one_and_its_reward(world, tmp_path):
    plain = trained_on(tmp_path / "plain", world[1], [])
    with pytest.raises(SeqRecError, match="objective.slates.plan: .* has learned no feature"):
        train(world, tmp_path / "x", run=plain)
    with pytest.raises(SeqRecError, match="rewards: format needs a plan; set slates.plan"):
        train(
            world,
            tmp_path / "x",
            "objective.slates.plan=false",
            "objective.rewards=[{name: format}]",
            run=plain,
        )
    of_log = trained_on(tmp_path / "of_log", world[1], [LIKED])
    with pytest.raises(SeqRecError, match="feature wanted is read from the log"):
        train(world, tmp_path / "x", "objective.rewards=[{name: format}]", run=of_log)
