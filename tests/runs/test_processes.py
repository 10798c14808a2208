"""Two processes train as one does, and judge every user once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.numpy import load_file

import seqrec
from seqrec.data.prepared import PreparedData
from seqrec.data.simulation.worlds import first_order_world
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import build_queries
from seqrec.runs.processes import run_ranks
from seqrec.training.loaders import QueryLoader

SETTINGS = [
    "data.max_length=20",
    "data.batch_size=5",
    "model.hidden_size=32",
    "model.dropout=0",
    "trainer.max_epochs=2",
    "trainer.precision=float32",
    "objective.weight=joy",
]
DIVERGING = ["trainer.learning_rate=100", "trainer.weight_decay=1000", "trainer.warmup_steps=0"]


@pytest.fixture
def data(tmp_path):
    log = first_order_world(num_items=40, seed=0).simulate(203, 15, seed=1)
    log = log.with_columns(joy=pl.int_range(pl.len()) % 3)
    seqrec.prepare(log, out=tmp_path / "data")
    return tmp_path / "data"


def lines(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_give_the_losses_weights_and_metrics_of_one(data, tmp_path):
    runs = [tmp_path / "one", tmp_path / "two"]
    for num, run in enumerate(runs, 1):
        overrides = [*SETTINGS, f"trainer.devices={num}"]
        seqrec.train("sft", data=data, out=run, overrides=overrides)
    for one, two in zip(*map(lines, runs), strict=True):
        assert two["train/loss_nats"] == pytest.approx(one["train/loss_nats"], rel=1e-5)
        assert two["val/ndcg@10"] == pytest.approx(one["val/ndcg@10"], abs=5e-3)
        assert two["step"] == one["step"]
    one, two = (load_file(run / "model" / "model.safetensors") for run in runs)
    for name in one:
        assert two[name] == pytest.approx(one[name], abs=2e-4)


@pytest.mark.usefixtures("forked_ranks")
@pytest.mark.slow
def test_two_processes_learn_features_as_one_does(data, tmp_path):
    """Also where processes get different numbers of them."""
    rating = "{name: rating, column: rating, is_learned: true, dropout: 0}"
    told = f"data.events={{features: [{rating}]}}"
    for num in (1, 2):
        overrides = [*SETTINGS, told, f"trainer.devices={num}"]
        seqrec.train("sft", data=data, out=tmp_path / str(num), overrides=overrides)
    for one, two in zip(lines(tmp_path / "1"), lines(tmp_path / "2"), strict=True):
        assert two["train/loss_nats"] == pytest.approx(one["train/loss_nats"], rel=1e-5)


@pytest.mark.usefixtures("forked_ranks")
@pytest.mark.slow
@pytest.mark.parametrize("head", ["tied", "untied"])
def test_two_processes_train_with_sparse_gradients(data, tmp_path, head):
    loss = "objective.loss={name: sampled_softmax, num_negatives: 16}"
    overrides = [*SETTINGS, loss, f"model.head={head}"]
    for num in (1, 2):
        run = tmp_path / str(num)
        more = [f"trainer.devices={num}", "trainer.learning_rate=.01"]
        seqrec.train("sft", data=data, out=run, overrides=[*overrides, *more])
        first, last = lines(run)
        assert last["train/loss_nats"] < first["train/loss_nats"]


@pytest.mark.usefixtures("forked_ranks")
@pytest.mark.slow
def test_a_mistake_in_one_process_ends_all_and_is_told_in_one_line(data, tmp_path):
    overrides = [*SETTINGS, "trainer.devices=2", *DIVERGING]
    with pytest.raises(SeqRecError, match="training diverged in epoch 1"):
        seqrec.train("sft", data=data, out=tmp_path / "run", overrides=overrides)
    assert not (tmp_path / "run").exists()


def test_a_process_that_dies_stops_the_others_and_is_named(tmp_path, monkeypatch):
    (tmp_path / "dies.py").write_text(
        "import os, sys, time\nsys.exit(7) if os.environ['LOCAL_RANK'] == '1' else time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    started = time.perf_counter()
    with pytest.raises(SeqRecError, match="process 1 ended with exit code 7"):
        run_ranks(3, "dies", {})
    assert time.perf_counter() - started < 20


def test_the_output_of_a_process_is_read_while_it_runs(tmp_path, monkeypatch):
    (tmp_path / "noisy.py").write_text(
        "import sys\nprint(('x' * 99 + chr(10)) * 3000)\nprint('cause; fix')\nsys.exit(2)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SeqRecError, match="^cause; fix$"):
        run_ranks(1, "noisy", {})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_their_parent(tmp_path, number):
    """A light module stands in for training: it tells its id, and works for a minute."""
    root = Path(seqrec.__file__).parents[1]
    (tmp_path / "works.py").write_text(
        "import os, pathlib, time\n"
        "from seqrec.runs.processes import work_as_rank\n"
        "def work(rank, arguments):\n"
        "    pathlib.Path(arguments['folder'], f'{rank}.new').write_text(str(os.getpid()))\n"
        "    os.rename(f\"{arguments['folder']}/{rank}.new\", f\"{arguments['folder']}/{rank}\")\n"
        "    time.sleep(60)\n"
        "work_as_rank(work)\n"
    )
    (tmp_path / "parent.py").write_text(
        "import signal, sys\n"
        "from seqrec.runs.processes import run_ranks\n"
        "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
        "run_ranks(1, 'works', {'folder': sys.argv[1]})\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py", tmp_path],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    wait_until((tmp_path / "0").exists)
    parent.send_signal(number)
    parent.wait(20)
    rank = int((tmp_path / "0").read_text())
    wait_until(lambda: not is_running(rank))


def wait_until(is_true):
    end = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_running(number):
    """Tell a process that works from one that ended, whether or not its end was noticed."""
    try:
        status = Path(f"/proc/{number}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["trainer.accelerator=gpu"], "trainer.accelerator=gpu, trainer.devices=1: "),
        (["trainer.devices=6"], "trainer.devices 6 share batches of data.batch_size 5 rows"),
    ],
)
def test_devices_that_are_not_there_or_would_idle_are_refused(data, tmp_path, overrides, complaint):
    if "gpu" in complaint and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SeqRecError, match=complaint):
        seqrec.train("sft", data=data, out=tmp_path / "run", overrides=[*SETTINGS, *overrides])
    assert not any(tmp_path.glob("run*"))


@pytest.mark.parametrize("memory_rows", [0, 10**9])
def test_every_query_belongs_to_one_process(data, memory_rows):
    prepared = PreparedData.open(data)
    whole = build_queries(prepared.histories(), "validation", prepared.targets)
    found = []
    for rank in range(3):
        loader = QueryLoader(
            prepared.blocks(), "together", memory_rows=memory_rows, rank=rank, num_ranks=3
        )
        assert loader.num_queries == len(whole.users)
        for _ in range(2):
            batches = list(loader)
        found += [history.tolist() for batch in batches for history in batch.histories]
    assert sorted(found) == sorted(history.tolist() for history in whole.histories)
