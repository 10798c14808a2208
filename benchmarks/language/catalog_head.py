"""The catalog head on a decoder of transformers in the native shape, beside the native decoder."""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine.machine import forget_peak, memory_mb, peak_memory_mb
from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row, at_most, row
from benchmarks.engine.steps import NUM_WARM_UP, TrainingStep, batches_of
from benchmarks.language import decoders
from seqrec.config.load import load_recipe
from seqrec.data.prepared import PreparedData
from seqrec.objectives.sft import SFTObjective

NAME = Path(__file__).stem
MODULE = "benchmarks.language"
NATIVE, OTHER = "native decoder", "Llama of transformers"
NUM_BATCHES = 40
CLOSE = at_most(1.05)
FIGURES = {
    "head_seconds": ("time of the head, loss and gradients", "s"),
    "head_mb": ("extra peak memory of the head", "MB"),
    "step_seconds": ("time of a whole step", "s"),
    "step_mb": ("extra peak memory of a whole step", "MB"),
}
"""Figures that a process answers; only the head has a target."""


def measure(quick: bool) -> Iterator[Row]:
    """Rows by figure and decoder."""
    prepared("ml-1m")
    num_batches = NUM_WARM_UP + 2 if quick else NUM_BATCHES
    ask = partial(in_fresh_process, f"{MODULE}.{NAME}", num_batches=num_batches)
    together = ask(systems=[NATIVE, OTHER])
    runs = {system: together[system] | ask(systems=[system])[system] for system in (NATIVE, OTHER)}
    for figure, (work, unit) in FIGURES.items():
        native = runs[NATIVE][figure]
        for system, answer in runs.items():
            is_compared = system == OTHER and figure.startswith("head")
            yield row(
                NAME,
                f"ml-1m, 16 rows of 200, 64 wide, 2 blocks: {work}",
                [answer[figure]],
                unit,
                system=system,
                ratio=answer[figure] / native,
                target=CLOSE if is_compared else None,
                note="ratio: to the native decoder",
                module=MODULE,
            )


def probe(systems: list[str], num_batches: int) -> dict[str, dict[str, float]]:
    """Answer the figures of one system, or the times of the heads of several in turn."""
    learning = {system: Learning(system, num_batches) for system in systems}
    if len(learning) > 1:
        seconds: dict[str, list[float]] = {system: [] for system in learning}
        for number in range(num_batches):
            for system, one in learning.items():
                seconds[system].append(one.step_head(number))
        return {
            system: {"head_seconds": statistics.median(times[NUM_WARM_UP:])}
            for system, times in seconds.items()
        }
    ((system, one),) = learning.items()
    head_mb = measure_memory(lambda: [one.step_head(number) for number in range(num_batches)])
    times: list[float] = []
    step_mb = measure_memory(lambda: times.extend(one.step_whole()))
    figures = {"head_mb": head_mb, "step_mb": step_mb, "step_seconds": statistics.median(times)}
    return {system: figures}


def measure_memory(work: Callable[[], Any]) -> float:
    """Return the memory that some work takes on top of what is held before it, in MiB."""
    forget_peak()
    before = memory_mb()
    work()
    return peak_memory_mb() - before


class Learning:
    """A decoder with its head in training, and the states of some batches."""

    def __init__(self, system: str, num_batches: int) -> None:
        native = [f"model.{key}={value}" for key, value in decoders.SIZE.items()]
        backbone = decoders.write_decoder(FOLDER / "Llama", "Llama")
        other = [f"model.backbone={backbone}", "model.backbone_weights=random"]
        shape = ["data.max_length=200", "data.batch_size=16", "trainer.accelerator=cpu"]
        recipe = load_recipe("sft", [*shape, *(native if system == NATIVE else other)])
        self.objective = SFTObjective.build(recipe, PreparedData.open(prepared("ml-1m")))
        self.batches = batches_of(self.objective.setup.loader, num_batches)
        self.model, self.module = self.objective.model, self.objective.module
        self.hidden_states = self.model.hidden_states
        with torch.no_grad():
            self.states = [self.hidden_states(b.input_ids, b.documents) for b in self.batches]

    def step_head(self, number: int) -> float:
        """Return the seconds of loss and gradients of the head, on the states of a batch."""
        given = self.states[number].requires_grad_()
        self.model.hidden_states = lambda *_: given
        started = time.perf_counter()
        self.module.training_step(self.batches[number], 0).backward()
        seconds = time.perf_counter() - started
        self.model.zero_grad()
        given.grad = None
        return seconds

    def step_whole(self) -> list[float]:
        """Return the seconds of whole steps."""
        self.model.hidden_states = self.hidden_states
        return TrainingStep(self.module).seconds_of(self.batches)
