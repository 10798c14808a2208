"""The script of GPU checks: it runs on a CPU, finds faults, and stops in time."""

import json

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import losses, steps
from benchmarks.gpu.place import Place


@pytest.fixture
def place(tmp_path):
    return Place(torch.device("cpu"), True, tmp_path)


def read_rows(file):
    return json.loads(file.read_text())["rows"]


def test_without_a_gpu_the_script_says_so_and_ends_with_0(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--out", str(tmp_path / "gpu.json")]) == 0
    assert "no CUDA device" in capsys.readouterr().out
    assert not (tmp_path / "gpu.json").exists()


def test_every_check_of_an_update_a_ranking_and_a_resumed_run_is_met_on_a_cpu(tmp_path):
    """On a CPU the same numbers come out in float32, and near ones in bfloat16."""
    file = tmp_path / "gpu.json"
    names = ["losses", "updates", "ranking", "resuming", "cross_entropy"]
    assert gpu.main([*names, "--device", "cpu", "--small", "--out", str(file)]) == 0
    rows = read_rows(file)
    assert [name for name in gpu.NAMES if name in {row["name"] for row in rows}] == names
    checks = [row for row in rows if row["is_met"] is not None]
    objectives = {row["work"].partition(",")[0] for row in checks if row["name"] == "updates"}
    assert objectives == {"sft", "preference", "distillation", "reward_model", "rl"}
    assert all(row["is_met"] for row in checks)
    assert all(row["facts"]["device"] for row in rows if row["value"] is not None)
    exact = [row["value"] for row in checks if "float32: gradient" in row["work"]]
    assert max(exact) < 1e-6


def test_a_loss_that_is_wrong_is_a_failure(place, monkeypatch):
    right = losses.LOSSES["cross-entropy"]

    def off_by_a_thousandth(inputs):
        is_exact = inputs.hidden.dtype == torch.float64
        return right(inputs) * (1 if is_exact else 1.001)

    monkeypatch.setattr(losses, "LOSSES", {"cross-entropy": off_by_a_thousandth})
    exact, rough = losses.measure(place)
    assert gpu.is_failure(exact) and exact.value == pytest.approx(1e-3, rel=0.01)
    assert not gpu.is_failure(rough)


def test_not_a_number_is_a_failure(place):
    nan = float("nan")
    assert gpu.is_failure(place.check_at_most("a", "work", nan, 1))
    assert gpu.is_failure(place.check_at_least("a", "work", nan, 0))


def test_what_is_raised_becomes_a_row_that_fails_and_a_lack_of_time_one_that_does_not(place):
    def broken(_):
        yield place.figure("a", "first", [1.0], "s")
        raise ValueError("no such kernel\nmore")

    first, last = gpu.limited(broken, place, "a")
    assert not gpu.is_failure(first) and gpu.is_failure(last)
    assert last.note == "failed: no such kernel"
    late = Place(place.device, True, place.folder, ends_at=0.0)
    (only,) = gpu.limited(broken, late, "a")
    assert only.note == "missing: time that was left" and not gpu.is_failure(only)


def test_waits_of_the_host_are_counted_by_operation(place):
    values = torch.tensor([0.0, 2.0])
    with steps.CountWaits() as counted:
        values.sum().add(1)
        assert counted.names == []
        float(values.sum())
        values.nonzero()
        values[values > 1]
        values[torch.tensor([0])]
    assert counted.names == ["_local_scalar_dense", "nonzero", "index"]


def test_steps_are_timed_on_useful_positions(place):
    batch = steps.draw_batch((4, 16), 50)
    assert int((batch.documents > 0).sum()) == int((batch.labels >= 0).sum()) == batch.total_weight
    rows = list(steps.measure(place))
    assert {row.unit for row in rows} == {"", "tokens/s", "targets/s"}
    assert all(row.value > 0 for row in rows if row.unit)
    assert all(row.is_met for row in rows if row.target is not None)
