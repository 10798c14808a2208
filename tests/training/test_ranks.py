"""Two processes train as one does, and judge every user once."""

import json

import polars as pl
import pytest
from safetensors.numpy import load_file

import seqrec
from seqrec.data.prepared import PreparedData
from seqrec.data.worlds import first_order_world
from seqrec.evaluation.protocol import queries_of
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


@pytest.mark.slow
def test_two_processes_train_with_sparse_gradients(data, tmp_path):
    overrides = [*SETTINGS, "objective.loss={name: sampled_softmax, num_negatives: 16}"]
    for num in (1, 2):
        run = tmp_path / str(num)
        more = [f"trainer.devices={num}", "trainer.learning_rate=.01"]
        seqrec.train("sft", data=data, out=run, overrides=[*overrides, *more])
        first, last = lines(run)
        assert last["train/loss_nats"] < first["train/loss_nats"]


@pytest.mark.parametrize("memory_rows", [0, 10**9])
def test_every_query_belongs_to_one_process(data, memory_rows):
    prepared = PreparedData.open(data)
    whole = queries_of(prepared.histories(), "validation", prepared.targets)
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
