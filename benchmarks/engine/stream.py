"""Memory of 200 training steps from prepared folders of two sizes.

What counts is the peak of the whole process, imports and the survey of the log among it, above
the size of weights and optimizer state. The steps are every fifth batch of the first 1,000, so
that one pool of the log gives way to the next.
"""

import statistics
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.engine.machine import peak_memory_mb
from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.prepared import prepared_ratings
from benchmarks.engine.rows import Row, at_most, row
from benchmarks.engine.steps import WORKS, TrainingStep, build_objective, state_mb

NAME = Path(__file__).stem
EVERY = 5
MEMORY_MB, GROWTH = at_most(1.5 * 1024), at_most(1.1)


def measure(quick: bool) -> Iterator[Row]:
    """A row a size, and one for both."""
    sizes = (10_000, 50_000) if quick else (5_000_000, 25_000_000)
    num_steps = 3 if quick else 200
    medians = []
    for num_rows in sizes:
        folder = str(prepared_ratings(num_rows))
        answers = [
            in_fresh_process(NAME, folder=folder, num_steps=num_steps)
            for _ in range(1 if quick else 3)
        ]
        runs = [answer["extra_mb"] for answer in answers]
        medians.append(statistics.median(runs))
        note = f"peak {answers[0]['peak_mb']:.0f} MB, "
        note += f"weights and optimizer {answers[0]['state_mb']:.0f} MB, "
        note += f"{answers[0]['num_batches']:,} batches an epoch"
        title = f"{num_steps} training steps from {num_rows:,} rows, memory over weights"
        yield row(NAME, f"{title} and optimizer", runs, "MB", target=MEMORY_MB, note=note)
        if len(medians) == len(sizes):
            yield row(
                NAME,
                f"the same, {sizes[1]:,} rows over {sizes[0]:,}",
                runs,
                "MB",
                ratio=medians[1] / medians[0],
                target=GROWTH,
            )


def probe(folder: str, num_steps: int) -> dict[str, Any]:
    """Train, and answer the peak of this process."""
    _, objective = build_objective(WORKS["ml-1m"], folder)
    step = TrainingStep(objective.module)
    for batch in islice(objective.setup.loader, 0, EVERY * num_steps, EVERY):
        step(batch)
    peak, state = peak_memory_mb(), state_mb(objective.module)
    return {
        "peak_mb": peak,
        "state_mb": state,
        "extra_mb": peak - state,
        "num_batches": len(objective.setup.loader),
    }
