"""The share of matrix products in a training step.

Every product of one real step is recorded, with shapes, strides, dtype and overlapping memory,
and timed bare in the same order. The step is timed on its own; batches are made before, so the
thread that packs them is not in it.
"""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.recorder import Product, Recorder, Replay
from benchmarks.engine.rows import Row, at_least, row
from benchmarks.engine.steps import (
    NUM_WARM_UP,
    WORKS,
    TrainingStep,
    Work,
    batches_of,
    build_objective,
    for_each_work,
    num_targets,
)

NAME = Path(__file__).stem
PARTS = ("decoder", "attention", "head")
TARGET = at_least(0.6)


def measure(quick: bool) -> Iterator[Row]:
    """Rows of both data sets."""
    yield from for_each_work(NAME, lambda work: rows_of(work, quick))


def rows_of(work: Work, quick: bool) -> Iterator[Row]:
    """Rows of one data set."""
    sizes = {"num_steps": 3, "num_replays": 2} if quick else {"num_steps": 40, "num_replays": 20}
    runs = [
        in_fresh_process(NAME, data=work.data, folder=work.folder, **sizes)
        for _ in range(1 if quick else 3)
    ]
    steps = [run["step_ms"] for run in runs]
    products = [sum(run["product_ms"].values()) for run in runs]
    shares = [part / whole for part, whole in zip(products, steps, strict=True)]
    gflops = sum(runs[0]["gflop"].values())
    yield row(NAME, f"training step, {work.title}", steps, "ms", note=runs[0]["dtype"])
    yield row(
        NAME,
        f"its matrix products, bare, over the step, {work.title}",
        products,
        "ms",
        ratio=statistics.median(shares),
        target=TARGET,
        note=f"{sum(runs[0]['count'].values())} products, "
        f"{gflops / statistics.median(products) * 1000:.0f} GFLOP/s",
    )
    for part in PARTS:
        values = [run["product_ms"][part] for run in runs]
        rate = runs[0]["gflop"][part] / statistics.median(values) * 1000
        yield row(
            NAME,
            f"of which {part}, {work.title}",
            values,
            "ms",
            ratio=statistics.median(values) / statistics.median(steps),
            note=f"{runs[0]['count'][part]} products, {rate:.0f} GFLOP/s",
        )


def probe(data: str, folder: str, num_steps: int, num_replays: int) -> dict[str, Any]:
    """The median step, and the median of each of its products, summed by part."""
    _, objective = build_objective(WORKS[data], folder)
    step = TrainingStep(objective.module)
    batches = batches_of(objective.setup.loader, NUM_WARM_UP + num_steps)
    seconds = step.seconds_of(batches)
    middle = statistics.median_low(map(num_targets, batches))
    typical = next(batch for batch in batches if num_targets(batch) == middle)
    with Recorder() as recorder:
        step(typical)
    replay = Replay.of(recorder)
    replay.seconds()
    runs = [replay.seconds() for _ in range(num_replays)]
    medians = [statistics.median(times) for times in zip(*runs, strict=True)]
    parts = [
        part_of(product, objective.module.model.config.num_items) for product in recorder.products
    ]
    pairs = list(zip(parts, recorder.products, medians, strict=True))
    return {
        "dtype": str(objective.module.products_dtype).removeprefix("torch."),
        "step_ms": statistics.median(seconds) * 1000,
        "product_ms": {p: 1000 * sum(t for part, _, t in pairs if part == p) for p in PARTS},
        "gflop": {p: sum(x.flops for part, x, _ in pairs if part == p) / 1e9 for p in PARTS},
        "count": {p: parts.count(p) for p in PARTS},
    }


def part_of(product: Product, num_items: int) -> str:
    """The part of the model that a product belongs to; the head's have the catalog as a side."""
    sides = {*product.left.size, *product.right.size}
    if num_items in sides:
        return "head"
    return "attention" if len(product.left.size) == 3 else "decoder"
