"""Training steps with products in float32 and in bfloat16."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.rows import Row, row
from benchmarks.engine.steps import (
    NUM_WARM_UP,
    WORKS,
    TrainingStep,
    Work,
    batches_of,
    build_objective,
    for_each_work,
)

NAME = Path(__file__).stem
PRECISIONS = ("float32", "bfloat16")


def measure(quick: bool) -> Iterator[Row]:
    """A row a precision and data set; runs alternate between precisions."""
    yield from for_each_work(NAME, lambda work: rows_of(work, quick))


def rows_of(work: Work, quick: bool) -> Iterator[Row]:
    """Rows of one data set."""
    runs: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for _ in range(1 if quick else 3):
        for precision, times in runs.items():
            arguments = {"data": work.data, "folder": work.folder, "precision": precision}
            answer = in_fresh_process(NAME, **arguments, num_steps=3 if quick else 40)
            times.append(answer["step_ms"])
    first = statistics.median(runs[PRECISIONS[0]])
    for precision, times in runs.items():
        yield row(
            NAME,
            f"training step, {work.title}",
            times,
            "ms",
            system=f"seqrec, {precision}",
            ratio=first / statistics.median(times),
            note=f"ratio: {PRECISIONS[0]} over this",
        )


def probe(data: str, folder: str, precision: str, num_steps: int) -> dict[str, Any]:
    """The median step."""
    _, objective = build_objective(WORKS[data], folder, f"trainer.precision={precision}")
    step = TrainingStep(objective.module)
    seconds = step.seconds_of(batches_of(objective.setup.loader, NUM_WARM_UP + num_steps))
    return {"step_ms": statistics.median(seconds) * 1000}
