"""Training steps of the shipped benchmarks' recipes: waits of the host, and rates."""

import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.engine.catalogs import NUM_SPECIAL, build_untrained
from benchmarks.engine.machine import ROOT
from benchmarks.engine.rows import Row
from benchmarks.engine.steps import TrainingStep, num_targets, num_useful
from benchmarks.gpu.place import PRECISIONS, Place
from seqrec.config.load import load_recipe
from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.training.tensors import PackedTensors, move_batch

NAME = Path(__file__).stem
NUM_BATCHES, NUM_RUNS = 4, 3
FACTORS = (1, 16)
"""Multiples of the recipe's batch size; one batch of it leaves most of a GPU idle."""
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique")
"""Operations whose result, or its size, the host waits for."""
INDEXING = ("index", "_index")
"""Operations that wait if an index is a mask, whose true places have to be counted."""


class Work(NamedTuple):
    """A recipe of the benchmarks and its catalog, drawn at random in the same sizes."""

    title: str
    recipe: str
    num_items: int


WORKS = (Work("ML-1M A", "ml1m-a", 3_416), Work("Beauty", "beauty", 12_101))


class CountWaits(TorchDispatchMode):
    """Counts operations that a GPU's host waits for, by name, on any device."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function.overloadpacket.__name__
        if name.startswith(WAITING) or name.startswith(INDEXING) and has_mask(args[1]):
            self.names.append(name)
        return function(*args, **(kwargs or {}))


def has_mask(indices: Any) -> bool:
    """Return whether a tensor among the indices is a mask."""
    parts = indices if isinstance(indices, list | tuple) else ()
    return any(isinstance(part, Tensor) and part.dtype == torch.bool for part in parts)


def measure(place: Place) -> Iterator[Row]:
    """Yield, for every recipe and precision, the waits of a step and the rates of some."""
    for work in WORKS:
        for precision in PRECISIONS:
            for factor in FACTORS:
                step, batches = build_step(place, work, precision, factor)
                for batch in batches:
                    step(batch)
                if factor == 1:
                    waits = count_waits(place, step, batches[0])
                    yield place.check_at_most(
                        NAME,
                        f"{work.title}, {precision}: waits of the host in a step",
                        len(waits),
                        0,
                        note=", ".join(sorted(set(waits))),
                    )
                yield from rate_rows(place, f"{work.title}, {precision}", step, batches)


def rate_rows(
    place: Place, title: str, step: TrainingStep, batches: list[PackedTensors]
) -> Iterator[Row]:
    """Yield positions and targets trained on in a second."""
    num_steps = 2 if place.is_small else 100
    seconds = [time_steps(place, step, batches, num_steps) for _ in range(NUM_RUNS)]
    num_rows, length = batches[0].input_ids.shape
    counts = {"tokens/s": num_useful(batches[0]), "targets/s": num_targets(batches[0])}
    for unit, count in counts.items():
        rates = [count * num_steps / one for one in seconds]
        yield place.figure(NAME, f"{title}, {num_rows} rows of {length}", rates, unit)


def build_step(
    place: Place, work: Work, precision: str, factor: int
) -> tuple[TrainingStep, list[PackedTensors]]:
    """Build the step of a recipe, and batches on the device of ``factor`` times its rows."""
    small = ["model.hidden_size=16", "data.max_length=16"] if place.is_small else []
    file = ROOT / "benchmarks" / work.recipe / "sasrec.yaml"
    overrides = [f"trainer.precision={precision}", f"trainer.accelerator={place.accelerator}"]
    recipe = load_recipe(file, [*overrides, *small])
    torch.manual_seed(0)
    module = build_untrained(recipe, work.num_items).to(place.device)
    shape = factor * recipe.data.batch_size, recipe.data.max_length
    batches = [draw_batch(shape, work.num_items) for _ in range(NUM_BATCHES)]
    return TrainingStep(module), [move_batch(batch, place.device) for batch in batches]


def draw_batch(shape: tuple[int, int], num_items: int) -> PackedTensors:
    """Draw rows of one history each, which ends in the last eighth of the row."""
    ends = torch.randint(shape[1] - shape[1] // 8, shape[1] + 1, (shape[0], 1))
    is_useful = torch.arange(shape[1]) < ends
    items, labels = torch.randint(num_items, shape), torch.randint(num_items, shape)
    return PackedTensors(
        input_ids=(items + NUM_SPECIAL).where(is_useful, 0),
        documents=is_useful.long(),
        labels=labels.where(is_useful, IGNORE_INDEX),
        label_weight=torch.ones(shape),
        total_weight=float(is_useful.sum()),
        targets=is_useful.flatten().nonzero().squeeze(1),
    )


def count_waits(place: Place, step: TrainingStep, batch: PackedTensors) -> list[str]:
    """Return the operations of a step that the host waits for, and CUDA's own warnings of them."""
    is_cuda = place.device.type == "cuda"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if is_cuda:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            with CountWaits() as counted:
                step(batch)
        finally:
            if is_cuda:
                torch.cuda.set_sync_debug_mode("default")
    warned = [str(one.message) for one in caught if "synchronizing" in str(one.message)]
    return warned if len(warned) > len(counted.names) else counted.names


def time_steps(
    place: Place, step: TrainingStep, batches: list[PackedTensors], num_steps: int
) -> float:
    """Return the seconds of some steps together, without a wait between them."""
    place.synchronize()
    started = time.perf_counter()
    for number in range(num_steps):
        step(batches[number % len(batches)])
    place.synchronize()
    return time.perf_counter() - started
