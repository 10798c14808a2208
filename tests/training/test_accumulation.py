"""Steps of several batches equal steps of one large batch."""

import json
from typing import NamedTuple

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import seqrec
from seqrec.data.simulation.worlds import first_order_world
from seqrec.training.epoch_log import EpochLog
from seqrec.training.loaders import join_steps


class Counted(NamedTuple):
    """A batch of some targets, whose loss is a weighted mean over them."""

    values: torch.Tensor
    total_weight: float


def mean_loss(weights, batch):
    return ((weights - batch.values) ** 2).sum() / batch.total_weight


@pytest.mark.parametrize("num_targets", [[3, 1, 8], [5, 2, 1, 7, 4], [0, 6]])
def test_the_losses_of_a_step_add_up_to_that_of_one_large_batch(num_targets):
    """Whatever the numbers of targets, also in a last step of fewer batches."""
    batches = [Counted(torch.randn(n), float(n)) for n in num_targets]
    steps, size = list(join_steps(enumerate(batches), 3)), 3
    assert [position for position, _ in steps] == list(range(len(batches)))
    for start in range(0, len(batches), size):
        weights = torch.zeros((), requires_grad=True)
        for _, batch in steps[start : start + size]:
            (mean_loss(weights, batch) / size).backward()
        values = torch.cat([batch.values for batch in batches[start : start + size]])
        assert weights.grad == pytest.approx(float(2 * (0 - values).mean()), rel=1e-5)


def test_single_batches_are_left_as_they_are():
    batches = [(0, Counted(torch.ones(2), 2.0)), (1, Counted(torch.ones(1), 1.0))]
    assert list(join_steps(batches, 1)) == batches


NUM_ROWS = 48
SETTINGS = [
    "data.max_length=12",
    "data.windows=last",
    "model.hidden_size=16",
    "model.dropout=0",
    "trainer.max_epochs=2",
    "trainer.precision=float32",
    "trainer.warmup_steps=5",
    "trainer.schedule=cosine",
    "objective.weight=joy",
]
SMALL = ["data.batch_size=4", "trainer.accumulate_batches=2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Histories that fill a row each, so that rows of one large batch are those of two small."""
    folder = tmp_path_factory.mktemp("data") / "prepared"
    log = first_order_world(num_items=40, seed=0).simulate(NUM_ROWS, 15, seed=1)
    seqrec.prepare(log.with_columns(joy=pl.int_range(pl.len()) % 7), out=folder)
    return folder


def train(data, out, *more, **arguments):
    seqrec.train("sft", data=data, out=out, overrides=[*SETTINGS, *more], **arguments)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return load_file(out / "model" / "model.safetensors"), lines


def test_two_batches_a_step_train_as_one_batch_of_twice_the_size(data, tmp_path):
    large, large_lines = train(data, tmp_path / "large", "data.batch_size=8")
    small, small_lines = train(data, tmp_path / "small", *SMALL)
    for one, other in zip(large_lines, small_lines, strict=True):
        assert one["step"] == other["step"]
        assert one["train/loss_nats"] == pytest.approx(other["train/loss_nats"], rel=1e-5)
    for name in large:
        torch.testing.assert_close(small[name], large[name], rtol=1e-4, atol=1e-5)


def test_a_run_cut_off_within_a_step_repeats_the_step(data, tmp_path, monkeypatch):
    whole, _ = train(data, tmp_path / "whole", *SMALL)
    every_step = [*SMALL, "trainer.checkpoint_minutes=1e-9"]
    plain = EpochLog.on_train_batch_start

    def cut_off(self, trainer, module, batch, index):
        if index == 5:
            raise MemoryError("cut off")
        plain(self, trainer, module, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "on_train_batch_start", cut_off)
        with pytest.raises(MemoryError):
            train(data, tmp_path / "cut", *every_step)
    cut, _ = train(data, tmp_path / "cut", *every_step, resume=True)
    for name in whole:
        assert torch.equal(cut[name], whole[name])
