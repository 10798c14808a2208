"""One update of each objective against the same update in float32 on the CPU."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.engine.rows import Row
from benchmarks.gpu.losses import relative_error
from benchmarks.gpu.place import PRECISIONS, Place
from benchmarks.gpu.world import MAX_LENGTH, World, build_world
from seqrec.builders.pretrained import resolve_lengths
from seqrec.builders.reinforcement import build_learner, build_sampler
from seqrec.config.load import load_recipe
from seqrec.objectives.reinforcement import build_algorithm, get_config
from seqrec.ranking.recommender import Recommender
from seqrec.rl.rollouts import Rollouts
from seqrec.rl.worker import RolloutWorker
from seqrec.runs.recipe import OBJECTIVES
from seqrec.tokens.streams.base import StreamPosition
from seqrec.training.module import LearningModule
from seqrec.training.tensors import as_tensors, move_batch

NAME = Path(__file__).stem
GRADIENT_BOUNDS = {"float32": 1e-3, "bfloat16": 0.1}
"""Largest norm of the gradient's difference, relative to the gradient."""
COSINE_BOUNDS = {"float32": 0.99, "bfloat16": 0.9}
"""Smallest cosine of the changes of the weights. AdamW's first step is nearly the sign of the
gradient, so that a gradient near zero may change its weight in either direction."""
KL_COEF = 0.04
RL = ("objective.num_prompts=8",)


class Update(NamedTuple):
    """The result of an update, in float64 on the CPU."""

    gradient: Tensor
    change: Tensor
    """The change of all weights, one after the other."""


class Case(NamedTuple):
    """A recipe, its settings in the world, and the loader of its built objective."""

    recipe: str
    get_overrides: Callable[[World], list[str]]
    get_loader: Callable[[Any], Any]


CASES = {
    "sft": Case("sft", lambda world: world.overrides(), lambda built: built.setup.loader),
    "preference": Case(
        "dpo",
        lambda world: world.continuing(f"data.pairs={world.pairs}", "trainer.warmup_steps=0"),
        lambda built: built.setup.loader,
    ),
    "distillation": Case(
        "distill",
        lambda world: world.overrides(f"objective.teachers=[{world.start}]"),
        lambda built: built.setup.loader,
    ),
    "reward_model": Case(
        "reward-model", lambda world: world.overrides(), lambda built: built.loader
    ),
}
REINFORCEMENT = "rl"


def measure(place: Place) -> Iterator[Row]:
    """Yield two rows for every objective and precision: the gradient, and the change of weights."""
    world, cpu = build_world(place), torch.device("cpu")
    rollouts, rewards = draw_rollouts(world)
    for name in (*CASES, REINFORCEMENT):

        def update(precision: str, device: torch.device, name: str = name) -> Update:
            if name == REINFORCEMENT:
                return update_policy(world, precision, device, rollouts, rewards)
            return update_module(world, CASES[name], precision, device)

        expected = update("float32", cpu)
        for precision in PRECISIONS:
            actual = update(precision, place.device)
            error = relative_error(actual.gradient, expected.gradient)
            yield place.check_at_most(
                NAME, f"{name}, {precision}: gradient's error", error, GRADIENT_BOUNDS[precision]
            )
            cosine = torch.cosine_similarity(actual.change, expected.change, dim=0)
            yield place.check_at_least(
                NAME, f"{name}, {precision}: cosine", float(cosine), COSINE_BOUNDS[precision]
            )


def update_module(world: World, case: Case, precision: str, device: torch.device) -> Update:
    """Make the first step of a recipe that trains on batches."""
    overrides = [*case.get_overrides(world), f"trainer.precision={precision}"]
    recipe = resolve_lengths(load_recipe(case.recipe, overrides))
    built: Any = OBJECTIVES[recipe.objective.name].build(recipe, world.prepared)
    module: LearningModule = built.module.to(device)
    batches = case.get_loader(built).stream.batches(StreamPosition())
    batch = move_batch(as_tensors(next(iter(batches))[1]), device)
    optimizer = module.configure_optimizers()["optimizer"]
    before = flatten(module.model.parameters())
    module.train().training_step(batch, 0).backward()
    module.configure_gradient_clipping()
    gradient = flatten(part.grad for part in module.model.parameters())
    optimizer.step()
    return Update(gradient, flatten(module.model.parameters()) - before)


def update_policy(
    world: World, precision: str, device: torch.device, rollouts: Rollouts, rewards: Any
) -> Update:
    """Make an update of reinforcement learning on slates that are the same everywhere."""
    recipe = load_recipe("grpo", world.continuing(*RL, f"trainer.precision={precision}"))
    settings, policy = get_config(recipe), Recommender.from_pretrained(world.start).model.to(device)
    sampler = build_sampler(settings.slates, MAX_LENGTH, None)
    algorithm = build_algorithm(settings.algorithm)
    learner = build_learner(recipe, policy, sampler, algorithm, entropy_bonus=0.0)
    before = flatten(policy.parameters())
    learner.update(rollouts, rewards, KL_COEF)
    gradient = flatten(part.grad for part in policy.parameters())
    return Update(gradient, flatten(policy.parameters()) - before)


def draw_rollouts(world: World) -> tuple[Rollouts, Any]:
    """Draw slates and their rewards on the CPU."""
    overrides = world.continuing(*RL, "trainer.accelerator=cpu")
    recipe = resolve_lengths(load_recipe("grpo", overrides))
    built: Any = OBJECTIVES[REINFORCEMENT].build(recipe, world.prepared)
    rollouts = RolloutWorker(built.model, built.sampler, 0, 0).generate(built.source(0), 0)
    return rollouts, built.make_scorer().score(rollouts)


def flatten(parts: Iterable[Tensor | None]) -> Tensor:
    """Return tensors, one after the other, in float64 on the CPU; absent gradients are left out."""
    return torch.cat([part.detach().cpu().double().flatten() for part in parts if part is not None])
