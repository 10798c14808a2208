"""Run folders that are not as ``train`` wrote them end in one line when they are read again."""

import json

import pytest

from seqrec.errors import SeqRecError
from seqrec.runs.history import trained_models
from seqrec.runs.judged_run import read_metrics, read_seed_run
from seqrec.runs.provenance import learned_from, selection_of

METRICS = {
    "selection_metric": "ndcg@10",
    "best_epoch": 2,
    "num_epochs": 2,
    "num_parameters": 10,
    "validation": {"ndcg@10": 0.5},
    "costs": {"train_seconds": 1.5},
}
LINES = [{"epoch": e, "train/loss_nats": 3.0 - e, "val/ndcg@10": 0.1 * e} for e in range(3)]
CONFIG = """model: {from_pretrained: null}
objective: {name: sft}
provenance: {data_fingerprint: f}
"""


@pytest.fixture
def run(tmp_path):
    """A run folder with what is read of it."""
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def test_a_whole_run_is_read(run):
    (model,) = trained_models({"m": run})
    assert (model.settings, model.runs[0].log) == (CONFIG, LINES)
    assert selection_of([run]) == ["models chosen by validation ndcg@10", "seeds: 1"]
    assert learned_from(run) == [(run, "f")]


def test_a_log_that_was_cut_ends_with_its_last_whole_line(run):
    text = (run / "log.jsonl").read_text()
    (run / "log.jsonl").write_text(text[:-10])
    seed_run = read_seed_run(0, run)
    assert seed_run is not None and list(seed_run.log) == LINES[:2]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("[1]", "log.jsonl: line 4: is no JSON object"),
        ("{}", "log.jsonl: line 4: epoch is missing"),
        ('{"epoch": "3"}', "log.jsonl: line 4: epoch is '3'"),
        ('{"epoch": 3, "train/loss_nats": "low"}', "train/loss_nats is 'low'"),
        ('{"epoch": 3, "train/loss_nats": 1}', "val/ndcg@10 is missing"),
    ],
)
def test_a_line_of_another_kind_is_named(run, line, named):
    with (run / "log.jsonl").open("a") as log:
        log.write(line + "\n")
    with pytest.raises(SeqRecError, match=named):
        trained_models({"m": run})


@pytest.mark.parametrize("key", ["selection_metric", "best_epoch", "num_epochs", "costs"])
@pytest.mark.parametrize("value", [[1], "x" * 5000, {"a": 1}, True, -1])
def test_metrics_of_another_kind_are_named(run, key, value):
    if key == "selection_metric" and isinstance(value, str):
        return
    (run / "metrics.json").write_text(json.dumps(METRICS | {key: value}))
    with pytest.raises(SeqRecError, match=f"metrics.json: {key}") as mistake:
        read_seed_run(0, run)
    assert len(str(mistake.value)) < 1000


@pytest.mark.parametrize("key", METRICS)
def test_metrics_that_are_missing_are_named(run, key):
    metrics = {name: value for name, value in METRICS.items() if name != key}
    (run / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(SeqRecError, match=f"metrics.json: {key} is missing"):
        trained_models({"m": run})


@pytest.mark.parametrize("seconds", ["Infinity", "-1", "NaN", "1e999"])
def test_a_duration_that_is_none_is_named(run, seconds):
    text = json.dumps(METRICS).replace("1.5", seconds)
    (run / "metrics.json").write_text(text)
    with pytest.raises(SeqRecError, match="metrics.json: costs.train_seconds is "):
        trained_models({"m": run})


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 5000, b"{"])
def test_files_of_other_bytes_end_in_one_line(run, content):
    for name in ("metrics.json", "config.yaml"):
        (run / name).write_bytes(content)
    with pytest.raises(SeqRecError, match="metrics.json"):
        read_metrics(run)
    assert learned_from(run) == []


def test_runs_that_name_each_other_are_asked_once(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        text = CONFIG.replace("null", str(tmp_path / other)).replace(" f}", f" {name}}}")
        (tmp_path / name / "config.yaml").write_text(text)
    assert [data for _, data in learned_from(tmp_path / "a")] == ["a", "b"]
