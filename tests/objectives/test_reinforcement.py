"""Reinforcement learning by the verb: what it leaves, and what is done with bad input."""

import json
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import seqrec
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.rl.controller import Controller
from seqrec.rl.stage_log import read_events

SMALL = ["model.hidden_size=16", "model.num_hidden_layers=1", "data.max_length=20"]
QUICK = [
    "objective.num_updates=6",
    "objective.num_prompts=8",
    "objective.num_held_out_prompts=16",
    "objective.guard.check_every=3",
    "objective.guard.tolerance=0.9",
    "trainer.learning_rate=0.001",
    "trainer.accelerator=cpu",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rl")
    log = first_order_world(num_items=40, seed=0).simulate(80, 12, seed=1)
    data = seqrec.prepare(log, out=folder / "data")["out"]
    overrides = [*SMALL, "trainer.max_epochs=3", "trainer.accelerator=cpu"]
    run = seqrec.train("sft", data=data, out=folder / "sft", overrides=overrides)["out"]
    return folder, data, run


def train(world, out, *overrides, **more):
    _, data, run = world
    settings = [*QUICK, f"model.from_pretrained={run}", *overrides]
    return seqrec.train("grpo", data=data, out=out, overrides=settings, **more)


@pytest.fixture(scope="module")
def trained(world):
    return train(world, world[0] / "grpo")


def test_a_run_leaves_a_model_a_log_and_a_timeline(world, trained):
    folder, data, run = world
    assert trained["num_steps"] == 6 and trained["details"]["reason"] == "all updates done"
    assert 0 < trained["details"]["kl_nats"] < 0.2 and set(trained["costs"]["stage_seconds"]) >= {
        "guard",
        "idle",
    }
    events = read_events(folder / "grpo" / "events.jsonl")
    assert [e["update"] for e in events if e["stage"] == "guard"] == [0, 3, 6]
    assert (folder / "grpo" / "timeline.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "grpo" / "frontier.png").read_bytes().startswith(b"\x89PNG")
    first, *others = trained["details"]["frontier"]
    assert first["beta"] is None and len(others) > 5
    assert first["top_reward"] == pytest.approx(trained["details"]["reward_before"], abs=1e-6)
    before, after, baseline = seqrec.evaluate([run, trained["out"], "popularity"], data=data)[
        "rows"
    ]
    assert before["ndcg@10"] != after["ndcg@10"]
    (row,) = seqrec.evaluate(trained["out"], data=data, split="validation")["rows"]
    assert row["ndcg@10"] == pytest.approx(trained["validation"]["ndcg@10"], abs=1e-6)


def test_an_interrupted_run_goes_on_to_the_same_end(world, trained, tmp_path, monkeypatch):
    one_update = Controller._one_update

    def dying(self):
        if self.update == 4:
            raise KeyboardInterrupt
        one_update(self)

    monkeypatch.setattr(Controller, "_one_update", dying)
    with pytest.raises(KeyboardInterrupt):
        train(world, tmp_path / "out")
    monkeypatch.undo()
    resumed = train(world, tmp_path / "out", resume=True)
    same = ("details", "validation", "num_steps")
    assert {key: resumed[key] for key in same} == {key: trained[key] for key in same}
    weights = [
        (folder / "model" / "model.safetensors").read_bytes()
        for folder in (world[0] / "grpo", tmp_path / "out")
    ]
    assert weights[0] == weights[1]


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_schedulers_signal_saves_the_update_at_work_and_ends_the_run(
    world, trained, tmp_path, monkeypatch, name, capsys
):
    number = getattr(signal, name)
    one_update, before = Controller._one_update, signal.getsignal(number)

    def send(self):
        if self.update == 4:
            signal.raise_signal(number)
        one_update(self)

    with monkeypatch.context() as patch:
        patch.setattr(Controller, "_one_update", send)
        with pytest.raises(KeyboardInterrupt):
            train(world, tmp_path / "out")
    assert signal.getsignal(number) == before
    resumed = train(world, tmp_path / "out", resume=True)
    assert "continues from controller.pt, after update 5" in capsys.readouterr().err
    assert resumed["details"] == trained["details"]
    weights = [
        (folder / "model" / "model.safetensors").read_bytes()
        for folder in (world[0] / "grpo", tmp_path / "out")
    ]
    assert weights[0] == weights[1]


def test_one_pass_and_other_algorithms_go_all_the_way(world, tmp_path):
    samplers = {"expected": "most_probable"}
    for name in ("rloo", "dr_grpo", "reinforce", "expected"):
        found = train(
            world,
            tmp_path / name,
            f"objective.algorithm={{name: {name}}}",
            f"objective.slates.sampler={samplers.get(name, 'plackett_luce')}",
            "objective.num_updates=2",
            "objective.rewards=[{name: hit}, {name: novelty, weight: 0.1}]",
        )
        assert np.isfinite(found["details"]["reward"])


@pytest.mark.parametrize(
    "setting", ["objective.algorithm={name: expected}", "objective.slates.sampler=most_probable"]
)
def test_the_expected_reward_and_the_most_probable_items_go_together(world, tmp_path, setting):
    with pytest.raises(SeqRecError, match="expected and slates.sampler most_probable go together"):
        train(world, tmp_path / "x", setting)


def test_more_candidates_than_some_user_has_unseen_are_refused(world, tmp_path):
    slates = "objective.slates={sampler: most_probable, num_slates: 999, slate_size: 2}"
    with pytest.raises(SeqRecError, match="objective.slates.num_slates 999: a user has seen"):
        train(world, tmp_path / "x", "objective.algorithm={name: expected}", slates)


def own(tmp_path, monkeypatch, body):
    (tmp_path / "my_rewards.py").write_text(f"def liked(histories, slates):\n    {body}\n")
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("my_rewards", None)
    return "objective.rewards=[{name: function, function: 'my_rewards:liked', max_seconds: 1}]"


def test_a_function_of_ones_own_is_learned_from(world, tmp_path, monkeypatch):
    body = "return [[sum(title[-1] < '3' for title in slate) for slate in of] for of in slates]"
    reward = own(tmp_path, monkeypatch, body)
    more = ["objective.num_updates=30", "objective.guard.max_kl_nats=5"]
    found = train(world, tmp_path / "x", reward, *more)
    assert found["details"]["reward"] > found["details"]["reward_before"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 1 / 0", "reward my_rewards:liked: raised ZeroDivisionError"),
        ("return [[float('nan')] * len(of) for of in slates]", "are not finite numbers"),
        ("return [[1.0]]", "returns .* numbers for"),
        ("import time; time.sleep(9)", "no result within 1 seconds"),
    ],
)
def test_a_bad_reward_ends_in_one_line_with_the_good_weights_on_disk(
    world, tmp_path, monkeypatch, body, message
):
    reward = own(tmp_path, monkeypatch, body)
    with pytest.raises(SeqRecError, match=message):
        train(world, tmp_path / "x", reward)
    assert not (tmp_path / "x").exists()


def test_a_reward_that_fails_on_the_way_leaves_good_weights_that_can_be_gone_on_from(
    world, tmp_path, monkeypatch
):
    """The guard scores at 0 and 3; the fourth update's reward breaks, and is mended."""
    body = """
    global calls
    calls += 1
    if calls == 6:
        raise SystemExit
    return [[float(slate[0] < "t2") for slate in of] for of in slates]
calls = 0"""
    reward = own(tmp_path, monkeypatch, body.strip())
    with pytest.raises(SeqRecError, match=r"raised SystemExit.*good weights are in .*x\.partial"):
        train(world, tmp_path / "x", reward)
    left = tmp_path / "x.partial"
    start = seqrec.Recommender.from_pretrained(world[2])
    good = seqrec.Recommender.from_pretrained(left / "model")
    history = [good.item_ids[:2]]
    assert good.recommend(history, k=3) != start.recommend(history, k=3)
    own(tmp_path, monkeypatch, body.replace("== 6", "== 0").strip())
    assert train(world, tmp_path / "x", reward, resume=True)["num_steps"] == 6
    assert not left.exists()


def test_a_role_is_replaced_as_the_docs_say(world, tmp_path, monkeypatch, capsys):
    page = Path(__file__).parents[2] / "docs" / "reinforcement.md"
    roles, _ = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    for name, folder in (("data/prepared/mine", world[1]), ("runs/first", world[2])):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    exec(roles, {"__name__": "mine"})
    assert "all updates done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epochs=3", "trainer.max_epochs goes with other objectives, not rl"),
        ("data.windows=last", "data.windows goes with other objectives, not rl"),
        ("objective.guard={kl_coef: 0, target_kl_nats: 0.1}", "needs a kl_coef above 0"),
        ("model.from_pretrained=null", "starts from a trained model"),
        ("model.hidden_size=32", "model.hidden_size: the model in .* has 16"),
        ("objective.rewards=[{name: diversity}]", "diversity needs genres"),
        ("objective.rewards=[{name: freshness}]", "no column 'year'"),
        ("objective.rewards=[{name: function, function: 'nowhere:x'}]", "no module nowhere"),
        ("objective.rewards=[{name: function, function: 'json:x'}]", "json holds no x"),
        ("objective.rewards=[{name: hit}, {name: hit}]", "hit is named twice; remove one"),
        ("objective.rewards=[]", "at least 1"),
        ("objective.slates.slate_size=39", "which leaves fewer"),
    ],
)
def test_mistakes_are_named(world, tmp_path, override, message):
    with pytest.raises(SeqRecError, match=message):
        train(world, tmp_path / "x", override)
    assert not list(tmp_path.iterdir())


def test_ratings_are_rewarded_where_there_are_some(world, tmp_path):
    rated = train(world, tmp_path / "rated", "objective.rewards=[{name: rating}]")
    assert 0 < rated["details"]["reward"] < 1
    log = first_order_world(num_items=40, seed=0).simulate(80, 12, seed=1).drop("rating")
    data = seqrec.prepare(log, out=tmp_path / "data")["out"]
    with pytest.raises(SeqRecError, match="rating"):
        train((None, data, world[2]), tmp_path / "x", "objective.rewards=[{name: rating}]")


def test_a_model_of_another_catalog_is_refused(world, tmp_path):
    log = first_order_world(num_items=41, seed=0).simulate(80, 12, seed=1)
    data = seqrec.prepare(log, out=tmp_path / "data")["out"]
    with pytest.raises(SeqRecError, match="trained on another catalog"):
        train((None, data, world[2]), tmp_path / "x")


def test_slates_drawn_in_turn_need_a_model_without_relative_bias(world, tmp_path):
    _, data, _ = world
    overrides = [*SMALL, "model.relative_bias=true", "trainer.max_epochs=1"]
    run = seqrec.train("sft", data=data, out=tmp_path / "sft", overrides=overrides)["out"]
    drawing = "objective.slates.sampler={}"
    with pytest.raises(SeqRecError, match="relative_bias counts columns"):
        train((None, data, run), tmp_path / "x", drawing.format("autoregressive"))
    train((None, data, run), tmp_path / "x", drawing.format("plackett_luce"))


def test_metrics_are_plain_json(trained, world):
    json.loads((world[0] / "grpo" / "metrics.json").read_text())
