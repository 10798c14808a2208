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
from seqrec.losses import host
from seqrec.models.content import ContentEmbedding
from seqrec.objectives.reinforcement import build_algorithm, get_config
from seqrec.ranking.recommender import Recommender
from seqrec.rl import learner as learner_module
from seqrec.runs.recipe import OBJECTIVES
from seqrec.tokens.streams.base import StreamPosition
from seqrec.training.tensors import as_tensors, move_batch

WAITING = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "unique",
    "is_nonzero",
    "equal",
    "repeat_interleave",
)
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


def build_step(world: World, name: str, device: str, *overrides: str) -> tuple[Any, Any]:
    """Return the module of a recipe and its first batch on a device."""
    case = CASES[name]
    recipe = resolve_lengths(load_recipe(case.recipe, [*case.get_overrides(world), *overrides]))
    built: Any = OBJECTIVES[recipe.objective.name].build(recipe, world.prepared)
    batches = case.get_loader(built).stream.batches(StreamPosition())
    batch = move_batch(as_tensors(next(iter(batches))[1]), torch.device(device))
    return built.module.to(device).train(), batch


@pytest.mark.parametrize(("device", "precision"), WHERE)
@pytest.mark.parametrize("name", CASES)
def test_a_step_waits_for_nothing(world, name, device, precision):
    module, batch = build_step(world, name, device, f"trainer.precision={precision}")
    optimizer = module.configure_optimizers()["optimizer"]
    module.training_step(batch, 0)  # frozen models move to the device once
    with RefuseWaits():
        module.training_step(batch, 0).backward()
        module.configure_gradient_clipping()
        if device == "cpu":  # there is no fused step without values
            optimizer.step()
    gradients = [part.grad for part in module.model.parameters() if part.grad is not None]
    assert gradients and {one.device.type for one in gradients} == {device}


def as_on_a_device(monkeypatch) -> None:
    """Take the paths of a GPU, with values."""
    monkeypatch.setattr(host, "is_on_host", lambda values: False)


SAMPLED = ("objective.loss.name=gbce", "objective.loss.sparse=false")
SETTINGS = {
    "negatives of the whole catalog": SAMPLED,
    "negatives of the batch": (*SAMPLED, "objective.loss.negatives=in_batch"),
    "mixed negatives": (*SAMPLED, "objective.loss.negatives=mixed"),
    "negatives by popularity": (*SAMPLED, "objective.loss.negatives=popularity"),
    "a sampled softmax": ("objective.loss.name=sampled_softmax", "objective.loss.sparse=false"),
    "a mean of transitions": ("model.transition_prior.strength=0.4",),
    "a product of transitions": (
        "model.transition_prior.name=product",
        "model.transition_prior.strength=1",
    ),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_a_step_that_waits_for_nothing_has_the_gradients_of_one_that_selects(
    world, settings, monkeypatch
):
    module, batch = build_step(world, "sft", "cpu", *settings)
    gradients = []
    for is_device in (False, True):
        if is_device:
            as_on_a_device(monkeypatch)
        module.training_step(batch, 0)  # a matrix of transitions is made once
        module.zero_grad()
        torch.manual_seed(0)
        with RefuseWaits() if is_device else nullcontext():
            module.training_step(batch, 0).backward()
        gradients.append([part.grad.clone() for part in module.model.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0])
    assert any(one.any() for one in gradients[0])


def test_content_is_added_without_a_wait(monkeypatch):
    embedding = ContentEmbedding(
        torch.randn(9, 4), num_items=6, first_item_token=2, content_width=3
    )
    embedding.load_content(torch.randn(6, 3), torch.tensor([1, 0, 2, 1, 0, 1]))
    torch.nn.init.normal_(embedding.proj_of_new.weight)
    tokens = torch.tensor([[0, 2, 3, 7], [8, 3, 1, 6]])
    found = []
    for is_device in (False, True):
        if is_device:
            as_on_a_device(monkeypatch)
        embedding.zero_grad()
        with RefuseWaits() if is_device else nullcontext():
            vectors, table = embedding(tokens), embedding.table()
            (vectors.square().sum() + table.square().sum()).backward()
        found.append([vectors, table, *(part.grad for part in embedding.parameters())])
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[0][0], found[0][1][tokens])


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
