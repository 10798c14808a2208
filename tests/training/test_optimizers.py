"""The lazy optimizer against torch's own, and clipping against arithmetic."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from seqrec.builders.model import build_optimizers
from seqrec.config.load import load_recipe
from seqrec.training.optimizers import LazyAdamW, clip_gradients, warmup_and_decay


def test_rows_used_in_every_step_move_as_under_adamw():
    start = torch.randn(6, 3)
    lazy, plain = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizers = [
        LazyAdamW([lazy], lr=0.1, weight_decay=0.3, fused=True),
        AdamW([plain], lr=0.1, weight_decay=0.3),
    ]
    for _ in range(5):
        gradient = torch.randn(6, 3)
        plain.grad = gradient
        rows = torch.arange(6).repeat(2)[None]
        values = torch.cat([gradient, gradient]) / 2
        lazy.grad = torch.sparse_coo_tensor(rows, values, (6, 3), check_invariants=True)
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(lazy, plain)


@pytest.fixture
def trained_apart():
    """A table under the lazy optimizer and its twin under torch's, 1500 steps of the same task."""
    torch.manual_seed(0)
    goal, table = torch.randn(40, 3), nn.Embedding(40, 3, sparse=True)
    twin = nn.Parameter(table.weight.detach().clone())
    lazy = LazyAdamW([table.weight], lr=0.02, weight_decay=0.1, fused=True)
    plain = AdamW([twin], lr=0.02, weight_decay=0.1)
    lazy.follow(table)
    for step in range(1500):
        rate = 0.02 * (1 - step / 2000)
        rows = (40 * torch.rand(5) ** 4).long()  # the last rows are hardly ever used
        for optimizer, loss in (
            (lazy, (table(rows) - goal[rows]).square().sum()),
            (plain, (twin[rows] - goal[rows]).square().sum()),
        ):
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return lazy, table, plain, twin


def test_rows_used_now_and_then_end_where_adamw_takes_them(trained_apart):
    lazy, table, plain, twin = trained_apart
    behind = lazy.state[table.weight]["step_of_row"] < 1500
    assert behind.sum() > 20
    assert not torch.allclose(table.weight, twin, atol=1e-2)
    lazy.catch_up()
    torch.testing.assert_close(table.weight, twin, atol=2e-4, rtol=1e-3)
    for key in ("exp_avg", "exp_avg_sq"):
        expected = plain.state[twin][key]
        torch.testing.assert_close(lazy.state[table.weight][key], expected, atol=2e-4, rtol=1e-2)


def test_catching_up_in_two_parts_is_catching_up_once(trained_apart):
    lazy, table, *_ = trained_apart
    once, parts = LazyAdamW([table.weight]), LazyAdamW([table.weight])
    start = table.weight.detach().clone()
    for optimizer in (once, parts):
        optimizer.load_state_dict(deepcopy(lazy.state_dict()))
    once.catch_up()
    expected = table.weight.detach().clone()
    with torch.no_grad():
        table.weight.copy_(start)
    alone = nn.Embedding.from_pretrained(table.weight, freeze=False, sparse=True)
    alone.weight = table.weight
    parts.follow(alone)
    alone(torch.tensor([3, 30, 30, 39]))
    parts.catch_up()
    assert torch.equal(table.weight, expected)


def test_a_step_touches_the_rows_that_it_uses_alone():
    table = nn.Embedding(4, 2, sparse=True)
    optimizer = LazyAdamW([table.weight], lr=0.1, weight_decay=0.3, fused=True)
    optimizer.follow(table)
    for row in (1, 1, 3):
        before = {key: value.clone() for key, value in optimizer.state[table.weight].items()}
        weights = table.weight.detach().clone()
        table(torch.tensor([row])).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        others = [other for other in range(4) if other != row]
        assert torch.equal(table.weight[others], weights[others])
        for key in ("exp_avg", "exp_avg_sq"):
            if before:
                assert torch.equal(optimizer.state[table.weight][key][others], before[key][others])
        assert not torch.equal(table.weight[row], weights[row])


def test_dense_parameters_beside_sparse_ones_move_as_under_adamw():
    table, dense = nn.Parameter(torch.ones(4, 2)), nn.Parameter(torch.ones(3))
    alone = nn.Parameter(torch.ones(3))
    together = LazyAdamW([table, dense], lr=0.1, fused=True)
    plain = AdamW([alone], lr=0.1)
    for _ in range(3):
        dense.grad = alone.grad = torch.randn(3)
        table.grad = torch.sparse_coo_tensor([[2]], torch.ones(1, 2), (4, 2), check_invariants=True)
        together.step()
        plain.step()
    torch.testing.assert_close(dense, alone)


def test_clipping_scales_sparse_and_dense_gradients_by_their_joint_norm():
    model = nn.ParameterDict({"table": torch.zeros(5, 2), "dense": torch.zeros(2)})
    values = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    model["table"].grad = torch.sparse_coo_tensor([[4, 4]], values, (5, 2))
    model["dense"].grad = torch.tensor([0.0, 1.5])
    clip_gradients(model, 1.0)  # the norm of (2, 1.5) is 2.5
    torch.testing.assert_close(model["table"].grad.to_dense()[4], torch.tensor([0.8, 0.0]))
    torch.testing.assert_close(model["dense"].grad, torch.tensor([0.0, 0.6]))
    clip_gradients(model, 9.0)
    torch.testing.assert_close(model["dense"].grad, torch.tensor([0.0, 0.6]))


@pytest.mark.parametrize(
    ("schedule", "middle", "end"), [("constant", 1, 1), ("linear", 0.5, 0), ("cosine", 0.5, 0)]
)
def test_the_learning_rate_warms_up_and_follows_its_schedule(schedule, middle, end):
    optimizer = AdamW([nn.Parameter(torch.ones(1))], lr=2.0)
    scheduler = warmup_and_decay(optimizer, schedule=schedule, warmup_steps=3, total_steps=13)
    rates = []
    for _ in range(15):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert rates[8] == pytest.approx(2 * middle)
    assert rates[13] == rates[14] == pytest.approx(2 * end)


@pytest.mark.parametrize(("num_batches", "is_told"), [(4, True), (5, False)])
def test_a_warm_up_that_is_longer_than_the_run_is_told(caplog, num_batches, is_told):
    recipe = load_recipe("sft", ["trainer.max_epochs=2", "trainer.warmup_steps=10"])
    build_optimizers(recipe, num_batches, torch.nn.Linear(2, 2))
    assert ("trainer.warmup_steps=10: longer than the run of 8 steps" in caplog.text) == is_told
