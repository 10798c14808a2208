"""Searches: what they choose, what they leave behind, and that an interruption changes nothing."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import seqrec
from seqrec.config.load import load_recipe, load_search
from seqrec.config.search import parse_space
from seqrec.config.yaml_text import parse_yaml
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.runs import search as module

QUICK = ["trainer.max_epochs=3", "data.max_length=20", "model.hidden_size=16", "data.batch_size=8"]
SPACE = {
    "search": {
        "trainer.learning_rate": {"low": "1e-4", "high": "3e-2", "log": True},
        "model.num_hidden_layers": {"low": 1, "high": 2},
        "objective.loss": [
            {"name": "cross_entropy"},
            {"name": "sampled_softmax", "num_negatives": 16},
        ],
    }
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    first_order_world(num_items=40, seed=1).simulate(100, 10, seed=2).write_csv(folder / "log.csv")
    seqrec.prepare(folder / "log.csv", out=folder / "data")
    return folder / "data"


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    file = tmp_path_factory.mktemp("space") / "space.yaml"
    file.write_text(yaml.safe_dump(SPACE))
    return file


def search(prepared, space, out, trials=3, **more):
    return seqrec.tune(
        "sft", data=prepared, out=out, trials=trials, overrides=QUICK, search=space, **more
    )


@pytest.fixture(scope="module")
def searched(prepared, space, tmp_path_factory):
    return search(prepared, space, tmp_path_factory.mktemp("searched") / "out")


def without_seconds(trials):
    return [{key: row[key] for key in row if key != "train_seconds"} for row in trials]


def test_the_first_trial_is_the_recipe_and_the_best_keeps_its_weights(searched, prepared, tmp_path):
    trials, best = searched["trials"], searched["best"]
    assert [row["trial"] for row in trials] == [0, 1, 2]
    assert trials[0]["settings"]["trainer.learning_rate"] == 1e-3
    assert trials[0]["settings"]["model.num_hidden_layers"] == 2
    complete = [row["ndcg@10"] for row in trials if row["state"] == "complete"]
    assert best["ndcg@10"] == max(complete)
    folder = Path(searched["out"])
    for row in trials:
        kept = {path.name for path in (folder / "trials" / f"{row['trial']:03d}").iterdir()}
        wanted = {"config.yaml", "log.jsonl", "metrics.json"}
        assert kept == (wanted | {"model"} if row["trial"] == best["trial"] else wanted)
    assert (folder / "trials.png").read_bytes().startswith(b"\x89PNG")
    table = f"{searched['table']}\n{searched['protocol']}\n"
    assert (folder / "trials.txt").read_text() == table
    assert not folder.with_name("out.partial").exists()
    recipe = load_recipe(searched["recipe"])
    assert recipe.trainer.learning_rate == best["settings"]["trainer.learning_rate"]
    assert recipe.objective.loss.name == best["settings"]["objective.loss"]["name"]
    again = seqrec.train(searched["recipe"], data=prepared, out=tmp_path / "run")
    assert again["validation"]["ndcg@10"] == best["ndcg@10"]
    (row,) = seqrec.evaluate(searched["model"], data=prepared, split="validation")["rows"]
    assert row["ndcg@10"] == pytest.approx(best["ndcg@10"], abs=1e-6)


def interrupt_at(monkeypatch, trial, epoch):
    """Ctrl-C at the end of an epoch of a trial."""
    pruner = module._pruner
    begun = []

    def of(study_trial):
        begun.append(study_trial)
        watch = pruner(study_trial)

        def interrupted(now, value):
            if len(begun) == trial + 1 and now == epoch:
                raise KeyboardInterrupt
            return watch(now, value)

        return interrupted

    monkeypatch.setattr(module, "_pruner", of)


@pytest.mark.parametrize(("trial", "epoch"), [(0, 0), (1, 1), (2, 2)])
def test_an_interrupted_search_ends_as_if_it_had_not_been(
    searched, prepared, space, tmp_path, monkeypatch, trial, epoch
):
    with monkeypatch.context() as patch:
        interrupt_at(patch, trial, epoch)
        with pytest.raises(KeyboardInterrupt):
            search(prepared, space, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(SeqRecError, match="add --resume"):
        search(prepared, space, tmp_path / "out")
    resumed = search(prepared, space, tmp_path / "out", resume=True)
    assert without_seconds(resumed["trials"]) == without_seconds(searched["trials"])


def test_a_finished_search_takes_more_trials_and_no_other_space(prepared, space, tmp_path):
    out = tmp_path / "out"
    few = search(prepared, space, out, trials=1)
    assert search(prepared, space, out, trials=1, resume=True) == few
    more = search(prepared, space, out, trials=2, resume=True)
    assert more["trials"][0] == few["trials"][0] and len(more["trials"]) == 2
    other = tmp_path / "other.yaml"
    other.write_text("search: {model.dropout: [0.1, 0.2]}")
    with pytest.raises(SeqRecError, match="search.*differs"):
        search(prepared, other, out, trials=3, resume=True)
    with pytest.raises(SeqRecError, match="add --overwrite"):
        search(prepared, space, out)
    assert json.loads((out / "trials.json").read_text())["best"] == more["best"]


def test_trials_are_compared_by_the_models_that_they_keep(prepared, tmp_path):
    """A memory whose strength is chosen after the last epoch is part of them."""
    result = seqrec.tune(
        "sft",
        data=prepared,
        out=tmp_path / "out",
        trials=3,
        overrides=[
            *QUICK,
            "model.transition_prior={}",
            "search={model.transition_prior.query_decay: [0.1, 0.7, 1.0]}",
        ],
    )
    trials = tmp_path / "out" / "trials"
    metrics = [json.loads(file.read_text()) for file in sorted(trials.glob("*/metrics.json"))]
    values = [of["validation"]["ndcg@10"] for of in metrics]
    trained = [row["ndcg@10"] for row in result["trials"] if "same_as" not in row]
    assert trained == values and len(set(values)) > 1
    assert result["best"]["ndcg@10"] == max(values)


def test_trials_that_fail_or_lag_are_named(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STARTUP_TRIALS", 1)
    monkeypatch.setattr(module, "WARMUP_EPOCHS", 0)
    file = tmp_path / "space.yaml"
    file.write_text(
        "search: {model.num_attention_heads: [2, 3], trainer.learning_rate: [1.0e-3, 1.0e-7]}"
    )
    result = search(prepared, file, tmp_path / "out", trials=8)
    by_state = {}
    for row in result["trials"]:
        by_state.setdefault(row["state"], []).append(row)
    assert set(by_state) == {"complete", "pruned", "failed"}
    for row in by_state["failed"]:
        assert row["settings"]["model.num_attention_heads"] == 3
        assert "multiple of twice num_attention_heads" in row["reason"]
    for row in by_state["pruned"]:
        assert row["num_epochs"] < 3 and row["settings"]["trainer.learning_rate"] == 1e-7
    assert "failed" in result["table"] and "pruned" in result["table"]
    file.write_text("search: {model.num_attention_heads: [3, 5]}")
    with pytest.raises(SeqRecError, match="no trial succeeded; the first: .*num_attention_heads"):
        search(prepared, file, tmp_path / "none", trials=2)
    assert not list(tmp_path.glob("none*"))


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ("search: {modle.dropout: [0.1]}", "modle: unknown key; did you mean model"),
        ("search: {model.dropot: [0.1]}", "did you mean dropout"),
        ("search: {model.dropout: [0.1, 1.5]}", "model.dropout: .*less than 1"),
        ("search: {model.dropout: {low: 0.5, high: 0.1}}", "low 0.5 must be below high 0.1"),
        ("search: {model.dropout: {low: 0, high: 0.5, log: true}}", "above 0 if log"),
        ("search: {model.dropout: {low: 0.1}}", "model.dropout.high: Field required"),
        ("search: {model.dropout: {low: 0.1, high: 0.2, step: 3}}", "step: Extra inputs"),
        ("search: {model.hidden_size: {low: 16.0, high: 64.0}}", "model.hidden_size"),
        ("search: {model.dropout: []}", "model.dropout: List should have at least 1"),
        ("search: {model.dropout: 0.1}", "model.dropout"),
        ("search: {objective.loss: [{name: gbce, t: 4}]}", "objective.loss.t: .*less than"),
        ("search: []", "write key.path"),
        ("trials: 3", "has no search block"),
        ("search: {", "not YAML"),
    ],
)
def test_a_wrong_search_space_is_one_line(prepared, tmp_path, block, named):
    file = tmp_path / "space.yaml"
    file.write_text(block)
    with pytest.raises(SeqRecError, match=named) as refusal:
        search(prepared, file, tmp_path / "out")
    assert "\n" not in str(refusal.value) and str(file) in str(refusal.value)
    assert not list(tmp_path.glob("out*"))


def test_a_recipe_may_hold_its_search_which_training_passes_over(prepared, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(yaml.safe_dump({"objective": {"name": "sft"}, **SPACE}))
    assert load_recipe(recipe) == load_recipe(recipe, ["search={model.dropout: [0.1]}"])
    assert set(load_search(recipe)) == set(SPACE["search"])
    assert set(load_search(recipe, ["search={model.dropout: [0.1]}"])) == {"model.dropout"}
    assert "trainer.learning_rate" in load_search("sft")


def test_what_a_search_cannot_do_is_refused(prepared, space, tmp_path):
    for changes, named in [
        ({"trials": 0}, "--trials 0"),
        ({"resume": True}, "start without --resume"),
        ({"overrides": [*QUICK, "trainer.devices=2"]}, "trainer.devices"),
        ({"recipe": "item-knn"}, "neither a file"),
        (
            {
                "overrides": ["search={trainer.selection_metric: [ndcg@10, recall@10]}"],
                "search": None,
            },
            "search: trainer.selection_metric cannot be searched",
        ),
        (
            {"recipe": "grpo", "overrides": ["model.from_pretrained=x"], "search": None},
            "objective rl has none",
        ),
    ]:
        arguments = {"recipe": "sft", "overrides": QUICK, "search": space} | changes
        with pytest.raises(SeqRecError, match=named):
            seqrec.tune(data=prepared, out=tmp_path / "out", **arguments)
    seqrec.prepare(prepared.parent / "log.csv", out=tmp_path / "none", split_by="none")
    with pytest.raises(SeqRecError, match="no user has a validation target"):
        seqrec.tune("sft", data=tmp_path / "none", out=tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_without_optuna_the_extra_is_named(prepared, space, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SeqRecError, match=r"seqrec\[tune\]"):
        search(prepared, space, tmp_path / "out")
    with pytest.raises(SeqRecError, match=r"seqrec\[tune\]"):
        seqrec.evaluate("item-knn", data=prepared, tune_baselines=2)


@pytest.mark.slow
def test_a_killed_search_goes_on_within_the_trial_that_was_cut(searched, prepared, space, tmp_path):
    command = [sys.executable, "-m", "seqrec", "tune", "sft", *QUICK, "--search", str(space)]
    command += ["--data", str(prepared), "--out", str(tmp_path / "out"), "--trials", "3"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("epoch   2") and any(text.startswith("trial 0") for text in said):
            process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL
    resumed = search(prepared, space, tmp_path / "out", resume=True)
    assert without_seconds(resumed["trials"]) == without_seconds(searched["trials"])


def test_choices_written_as_1e_4_are_numbers():
    """YAML 1.1 takes them for text."""
    text = "{trainer.learning_rate: [1e-4, 0.001], x: [e, 3e]}"
    space = parse_space(parse_yaml(text, "here"), "here")
    assert space == {"trainer.learning_rate": [0.0001, 0.001], "x": ["e", "3e"]}


def test_settings_that_were_tried_are_not_trained_again(prepared, tmp_path, capsys):
    """Of two choices neither is the recipe's, which is said; the third trial repeats one."""
    choices = "search={model.dropout: [0.1, 0.3]}"
    arguments = {"data": prepared, "out": tmp_path / "out", "trials": 4}
    result = seqrec.tune("sft", overrides=[*QUICK, choices], **arguments)
    assert "trial 0 draws model.dropout: the recipe's 0.2 is not in" in capsys.readouterr().err
    again = [row for row in result["trials"] if "same_as" in row]
    trained = {row["trial"]: row for row in result["trials"] if "same_as" not in row}
    assert len(again) >= 2 and len(trained) <= 2
    for row in again:
        first = trained[row["same_as"]]
        assert (row["settings"], row["ndcg@10"]) == (first["settings"], first["ndcg@10"])
        assert row["train_seconds"] == 0 and first["train_seconds"] > 0
    assert result["best"]["trial"] in trained


def test_a_finished_search_outlives_more_that_is_interrupted(prepared, tmp_path, monkeypatch):
    arguments = {"data": prepared, "out": tmp_path / "out"}
    overrides = [*QUICK, "search={model.dropout: {low: 0.1, high: 0.5}}"]
    seqrec.tune("sft", overrides=overrides, trials=1, **arguments)
    monkeypatch.setattr(module, "train_recipe", lambda *_, **__: (_ for _ in ()).throw(interrupt))
    interrupt = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        seqrec.tune("sft", overrides=overrides, trials=2, resume=True, **arguments)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "best.yaml").exists()
    monkeypatch.undo()
    result = seqrec.tune("sft", overrides=overrides, trials=2, resume=True, **arguments)
    assert [row["trial"] for row in result["trials"]] == [0, 1]
