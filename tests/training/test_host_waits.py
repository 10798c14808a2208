"""A step never waits for the device: it runs on one that holds no numbers at all.

On ``meta`` a tensor has a shape and no values. Whatever looks at a value, or needs one to know a
size, raises there: these are the places where the host of a GPU would wait. The same step on a CPU
passes through a mode that refuses these operations by name.
"""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.gpu.place import Place
from benchmarks.gpu.updates import CASES, RL, draw_rollouts
from benchmarks.gpu.world import MAX_LENGTH, World, build_world
from seqrec.builders.pretrained import resolve_lengths
from seqrec.builders.reinforcement import build_learner, build_sampler
from seqrec.config.load import load_recipe
from seqrec.objectives.reinforcement import build_algorithm, get_config
from seqrec.ranking.recommender import Recommender
from seqrec.rl import learner as learner_module
from seqrec.runs.recipe import OBJECTIVES
from seqrec.tokens.streams.base import StreamPosition
from seqrec.training.tensors import as_tensors, move_batch

WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal")
WHERE = [("cpu", "float32"), ("cpu", "bfloat16"), ("meta", "float32")]


class RefuseWaits(TorchDispatchMode):
    """Refuses operations that a host waits for, and copies to the device that are not queued."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function.overloadpacket.__name__
        parts = [one for one in tree_leaves(args) if torch.is_tensor(one)]
        indices = parts[1:] if name in ("index", "index_put", "index_put_") else []
        assert not name.startswith(WAITING), name
        assert all(one.dtype != torch.bool for one in indices), "an index is a mask"
        result = function(*args, **(kwargs or {}))
        if name in ("_to_copy", "copy_") and {one.device for one in parts} != {result.device}:
            is_queued = (kwargs or {}).get("non_blocking") or True in args[2:]
            assert is_queued, "a copy that the host waits for"
        return result


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return build_world(Place(torch.device("cpu"), True, tmp_path_factory.mktemp("world")))


@pytest.fixture(autouse=True)
def no_autocast_without_values(monkeypatch):
    """The empty device knows no autocast."""
    autocast = torch.autocast
    is_enabled = torch.is_autocast_enabled

    def on_any(device: str, *arguments: Any, **more: Any) -> Any:
        return nullcontext() if device == "meta" else autocast(device, *arguments, **more)

    monkeypatch.setattr(torch, "autocast", on_any)
    monkeypatch.setattr(
        torch,
        "is_autocast_enabled",
        lambda *device: device != ("meta",) and is_enabled(*device),
    )


@pytest.mark.parametrize(("device", "precision"), WHERE)
@pytest.mark.parametrize("name", CASES)
def test_a_step_waits_for_nothing(world, name, device, precision):
    case = CASES[name]
    overrides = [*case.get_overrides(world), f"trainer.precision={precision}"]
    recipe = resolve_lengths(load_recipe(case.recipe, overrides))
    built: Any = OBJECTIVES[recipe.objective.name].build(recipe, world.prepared)
    module = built.module.to(device)
    optimizer = module.configure_optimizers()["optimizer"]
    batches = case.get_loader(built).stream.batches(StreamPosition())
    batch = move_batch(as_tensors(next(iter(batches))[1]), torch.device(device))
    module.train().training_step(batch, 0)  # frozen models move to the device once
    with RefuseWaits():
        module.training_step(batch, 0).backward()
        module.configure_gradient_clipping()
        if device == "cpu":  # there is no fused step without values
            optimizer.step()
    gradients = [part.grad for part in module.model.parameters() if part.grad is not None]
    assert gradients and {one.device.type for one in gradients} == {device}


@pytest.mark.parametrize(("device", "precision"), WHERE)
def test_an_update_of_reinforcement_learning_waits_once(world, device, precision, monkeypatch):
    """The one wait is for the numbers of its line in the log, which are read together."""
    reads: list[list[str]] = []
    monkeypatch.setattr(learner_module, "read_together", lambda stats: reads.append([*stats]))
    rollouts, rewards = draw_rollouts(world)
    recipe = load_recipe("grpo", world.continuing(*RL, f"trainer.precision={precision}"))
    settings, policy = get_config(recipe), Recommender.from_pretrained(world.start).model
    sampler = build_sampler(settings.slates, MAX_LENGTH, None)
    algorithm = build_algorithm(settings.algorithm)
    policy.to(device)
    learner = build_learner(recipe, policy, sampler, algorithm, entropy_bonus=0.1)
    learner.reference.model.to(device)
    if device == "meta":  # there is no fused step without values
        monkeypatch.setattr(learner.optimizer, "step", lambda: None)
    with RefuseWaits():
        learner.update(rollouts, rewards, 0.04)
    assert len(reads) == 1 and {"kl_nats", "entropy_nats", "gradient_norm"} < {*reads[0]}


def test_numbers_that_are_read_together_are_those_of_a_device():
    numbers = {"a": torch.tensor(0.25), "b": torch.tensor(-3.0)}
    assert learner_module.read_together(numbers) == {"a": 0.25, "b": -3.0}


def test_the_mode_finds_a_wait():
    values = torch.tensor([0.0, 2.0])
    for wait in (lambda: float(values.sum()), lambda: values[values > 1], values.nonzero):
        with pytest.raises(AssertionError), RefuseWaits():
            wait()
