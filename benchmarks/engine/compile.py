"""Training steps with and without ``torch.compile`` on the decoder, its cold start counted."""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.rows import Row, row
from benchmarks.engine.steps import (
    WORKS,
    TrainingStep,
    Work,
    batches_of,
    build_objective,
    for_each_work,
)

NAME = Path(__file__).stem
SYSTEMS = {False: "seqrec", True: "seqrec, torch.compile"}


def measure(quick: bool) -> Iterator[Row]:
    """Step, cold start, and when it has paid off, by data set; runs alternate."""
    yield from for_each_work(NAME, lambda work: rows_of(work, quick))


def rows_of(work: Work, quick: bool) -> Iterator[Row]:
    """Rows of one data set."""
    runs: dict[bool, list[dict[str, Any]]] = {is_compiled: [] for is_compiled in SYSTEMS}
    for _ in range(1 if quick else 3):
        for is_compiled, answers in runs.items():
            arguments = {"data": work.data, "folder": work.folder, "is_compiled": is_compiled}
            answers.append(in_fresh_process(NAME, **arguments, num_steps=4 if quick else 80))
    plain = statistics.median(run["step_ms"] for run in runs[False])
    for is_compiled, system in SYSTEMS.items():
        steps = [run["step_ms"] for run in runs[is_compiled]]
        yield row(
            NAME,
            f"training step, {work.title}",
            steps,
            "ms",
            system=system,
            ratio=plain / statistics.median(steps),
            note="ratio: without over this",
        )
    warm_up = statistics.median(run["cold_seconds"] for run in runs[False])
    cold = [run["cold_seconds"] - warm_up for run in runs[True]]
    note = "beyond the warm-up without it"
    yield row(NAME, f"cold start, {work.title}", cold, "s", system=SYSTEMS[True], note=note)
    gain = 1 - statistics.median(steps) / plain
    minutes = [seconds / gain / 60 for seconds in cold] if gain > 0 else []
    yield row(
        NAME,
        f"uncompiled training that the cold start costs, {work.title}",
        minutes,
        "minutes",
        system=SYSTEMS[True],
        note="" if minutes else "never pays off: compiled steps are no faster",
    )


def probe(data: str, folder: str, is_compiled: bool, num_steps: int) -> dict[str, Any]:
    """The median of the later half of the steps, and what the earlier ones took above it."""
    _, objective = build_objective(WORKS[data], folder)
    with tempfile.TemporaryDirectory() as cache, torch._inductor.utils.fresh_cache(dir=cache):
        if is_compiled:
            objective.module.model.backbone.compile(dynamic=False)
        step = TrainingStep(objective.module)
        seconds = [step(batch) for batch in batches_of(objective.setup.loader, num_steps)]
    steady = statistics.median(seconds[num_steps // 2 :])
    cold = sum(max(time - steady, 0.0) for time in seconds)
    return {"step_ms": steady * 1000, "cold_seconds": cold}
