"""Trackers repeat the log of a run; what they hold is read back by their own readers."""

import json
import os
from functools import partial

import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import seqrec
from seqrec.config.load import load_recipe
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.rl.stage_log import EventLog, log_stage
from seqrec.training import trackers
from seqrec.training.trackers import Tracker, check_trackers, open_tracker

QUICK = ["data.max_length=10", "model.hidden_size=16", "model.num_hidden_layers=1"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, whose trackers write nowhere else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return tmp_path


def mlflow_history(metric):
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("seqrec")
    runs = client.search_runs([experiment.experiment_id])
    return runs, [client.get_metric_history(run.info.run_id, metric) for run in runs]


def test_every_epoch_of_a_run_is_in_all_trackers(here):
    log = first_order_world(num_items=20, seed=0).simulate(60, 8, seed=1)
    data = seqrec.prepare(log, out=here / "data")["out"]
    names = "trainer.tracker=[tensorboard, mlflow, wandb]"
    seqrec.train(
        "sft", data=data, out=here / "run", overrides=[*QUICK, names, "trainer.max_epochs=2"]
    )
    lines = [json.loads(line) for line in (here / "run" / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 2 and "val/ndcg@10" in lines[0]

    board = EventAccumulator(str(here / "run" / "tensorboard")).Reload()
    for key in ("train/loss_nats", "val/ndcg@10"):
        points = [(one.step, one.value) for one in board.Scalars(key)]
        assert points == [(line["step"], pytest.approx(line[key], rel=1e-6)) for line in lines]

    runs, ((first, second),) = mlflow_history("val/ndcg_at_10")
    (run,) = runs
    assert run.info.run_name == "run" and run.info.status == "FINISHED"
    assert [first.value, second.value] == [line["val/ndcg@10"] for line in lines]
    assert run.data.params["trainer/max_epochs"] == "2"
    assert run.data.params["objective/name"] == "sft"

    (stored,) = (here / "wandb").glob("offline-run-*/run-*.wandb")
    assert b"val/ndcg@10" in stored.read_bytes()


def test_a_resumed_run_goes_on_in_the_same_run_of_a_tracker(here):
    folder = here / "run.partial"
    folder.mkdir()
    for step in (1, 2):
        tracker = open_tracker(["mlflow"], folder, "run", {"a": {"b": step}})
        tracker.log({"loss@1": step / 2, "name": "text", "nothing": None}, step)
        tracker.close("failed" if step == 1 else "success")
    runs, histories = mlflow_history("loss_at_1")
    assert len(runs) == 1 and [one.value for one in histories[0]] == [0.5, 1.0]
    assert runs[0].data.params == {"a/b": "1"} and runs[0].info.status == "FINISHED"


def test_a_stage_of_reinforcement_learning_is_logged_by_its_name(here):
    tracker = open_tracker(["tensorboard"], here, "rl", {})
    log = EventLog(here / "events.jsonl", partial(log_stage, tracker))
    with log.stage("guard", 5) as counts:
        counts |= {"kl_nats": 0.25, "is_good": True, "reason": "within limits"}
    tracker.close("success")
    board = EventAccumulator(str(here / "tensorboard")).Reload()
    assert board.Tags()["scalars"] == ["guard/kl_nats", "guard/is_good"]
    (point,) = board.Scalars("guard/kl_nats")
    assert (point.step, point.value) == (5, 0.25)


def test_numbers_that_are_none_are_left_out():
    seen = []

    class Recorder:
        def log_metrics(self, values, step):
            seen.append((values, step))

    recorder = Recorder()
    tracker = Tracker({"wandb": recorder, "mlflow": recorder})
    tracker.log({"a@1": 1, "b": float("nan"), "c": [1], "d": float("inf")}, 3)
    assert seen == [({"a@1": 1.0}, 3), ({"a_at_1": 1.0}, 3)]


def test_one_name_is_a_list_of_one_and_an_unknown_one_is_refused():
    assert load_recipe("sft", ["trainer.tracker=wandb"]).trainer.tracker == ["wandb"]
    assert load_recipe("sft", ["trainer.tracker=null"]).trainer.tracker == []
    with pytest.raises(SeqRecError, match=r"trainer.tracker.*tensorboard"):
        load_recipe("sft", ["trainer.tracker=tensorbored"])


def test_a_tracker_that_is_missing_or_out_of_reach_is_one_line(here, monkeypatch):
    with pytest.raises(SeqRecError, match="trackio needs pillow below 13.*tensorboard"):
        check_trackers(["trackio"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////dev/null/mlflow.db")
    with pytest.raises(SeqRecError, match="mlflow cannot be reached"):
        open_tracker(["mlflow"], here, "run", {})
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(SeqRecError, match=r"wandb is not installed; pip install 'seqrec\[wandb\]'"):
        check_trackers(["wandb"])
