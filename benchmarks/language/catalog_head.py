"""The catalog head on a decoder of transformers in the native shape, beside the native decoder."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    runs = {
        system: in_fresh_process(f"{MODULE}.{NAME}", system=system, num_batches=num_batches)
        for system in (NATIVE, OTHER)
    }
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


def probe(system: str, num_batches: int) -> dict[str, Any]:
    """Time whole steps, and the head alone on the states of the same batches."""
    native = [f"model.{key}={value}" for key, value in decoders.SIZE.items()]
    backbone = decoders.write_decoder(FOLDER / "Llama", "Llama")
    other = [f"model.backbone={backbone}", "model.backbone_weights=random"]
    shape = ["data.max_length=200", "data.batch_size=16", "trainer.accelerator=cpu"]
    recipe = load_recipe("sft", [*shape, *(native if system == NATIVE else other)])
    objective = SFTObjective.build(recipe, PreparedData.open(prepared("ml-1m")))
    step, batches = TrainingStep(objective.module), batches_of(objective.setup.loader, num_batches)
    step(batches[0])
    forget_peak()
    before = memory_mb()
    whole = step.seconds_of(batches)
    step_mb = peak_memory_mb() - before
    model, heads = objective.model, []
    states = [model.hidden_states(b.input_ids, b.documents).detach() for b in batches]
    forget_peak()
    before = memory_mb()
    for batch, given in zip(batches, states, strict=True):
        given.requires_grad_()
        model.hidden_states = lambda *_, given=given: given
        started = time.perf_counter()
        objective.module.training_step(batch, 0).backward()
        heads.append(time.perf_counter() - started)
        model.zero_grad()
        given.grad = None
    return {
        "head_seconds": statistics.median(heads[NUM_WARM_UP:]),
        "head_mb": peak_memory_mb() - before,
        "step_seconds": statistics.median(whole),
        "step_mb": step_mb,
    }
