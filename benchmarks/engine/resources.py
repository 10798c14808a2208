"""Time and memory of verbs over the numbers of users and of items: both stay at most linear.

The log of each size is drawn, every item at least once; a small model of its catalog is trained on
few users. The verbs of a size run one after the other in a fresh process; its imports do not count.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine.machine import forget_peak, memory_mb, peak_memory_mb
from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.prepared import FOLDER
from benchmarks.engine.rows import Row, at_most, row

NAME = Path(__file__).stem
VERBS = ("prepare", "evaluate", "recommend", "export numpy", "export faiss-flat", "export faiss")
LENGTH = 16
SMALL = 2**11
"""Users or items where the other number grows."""
SIZES = [2**power for power in range(12, 16)]
QUICK_SIZES = [2**9, 2**10]
SLOPE = at_most(1.15)
"""Slope of time and memory in logarithms, fitted over the largest sizes: 1 is linear."""
FITTED = 3
REPEATS, LONG_SECONDS = 2, 10.0
SETTINGS = (
    "data.max_length=16",
    "data.batch_size=256",
    "model.hidden_size=32",
    "model.num_hidden_layers=1",
    "objective.loss={name: sampled_softmax, num_negatives: 32}",
    "trainer.max_epochs=1",
    "trainer.selection_metric=ndcg@10",
)


def measure(quick: bool) -> Iterator[Row]:
    """Slopes of seconds and of MiB above those of the start, by verb."""
    sizes = QUICK_SIZES if quick else SIZES
    FOLDER.mkdir(parents=True, exist_ok=True)
    for growing in ("users", "items"):
        runs = []
        for size in sizes:
            counts = {"users": SMALL, "items": SMALL, growing: size}
            with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
                runs.append(in_fresh_process(NAME, folder=folder, **counts))
        for verb in VERBS:
            yield from _slopes(verb, growing, sizes, [run[verb] for run in runs])


def _slopes(verb: str, growing: str, sizes: list[int], runs: list[dict[str, Any]]) -> Iterator[Row]:
    for what, unit in (("seconds", "s"), ("mb", "MB")):
        values = [max(run[what], 1e-3) for run in runs]
        slope = np.polyfit(np.log(sizes[-FITTED:]), np.log(values[-FITTED:]), 1)[0]
        shown = ", ".join(f"{value:.3g}" for value in values)
        yield row(
            NAME,
            f"{verb}, slope of {'time' if unit == 's' else 'memory'} over {growing}",
            [float(slope)],
            "",
            target=SLOPE,
            note=f"{shown} {unit} for {sizes[0]:,} to {sizes[-1]:,} {growing}, doubled",
        )


def probe(folder: str, users: int, items: int) -> dict[str, Any]:
    """Run every verb on a log of these sizes."""
    import seqrec
    import seqrec.jobs.recommend  # noqa: F401

    work = Path(folder)
    _write_log(work / "log.csv", users, items)
    _write_log(work / "few.csv", -(-items // LENGTH), items)
    seqrec.prepare(work / "few.csv", out=work / "few")
    seqrec.train("sft", data=work / "few", out=work / "run", overrides=list(SETTINGS))
    data, run = work / "data", work / "run" / "model"
    lists = work / "lists.parquet"
    calls: dict[str, Callable[[], Any]] = {
        "prepare": lambda: seqrec.prepare(work / "log.csv", out=data, overwrite=True),
        "evaluate": lambda: seqrec.evaluate([run], data=data),
        "recommend": lambda: seqrec.recommend(run, data=data, k=10, out=lists, overwrite=True),
    }
    for verb in VERBS[len(calls) :]:
        to = verb.partition(" ")[2]
        calls[verb] = partial(seqrec.export, run, to=to, data=data, out=work / to, overwrite=True)
    return {verb: measure_shortest(calls[verb]) for verb in VERBS}


def measure_shortest(call: Callable[[], Any]) -> dict[str, float]:
    """Return ``measure_call`` with the shortest time of a few; a long call is made once.

    A disk that stalls for seconds is no cost of a verb.
    """
    first = measure_call(call)
    if first["seconds"] > LONG_SECONDS:
        return first
    others = [measure_call(call)["seconds"] for _ in range(REPEATS)]
    return first | {"seconds": min(first["seconds"], *others)}


def measure_call(call: Callable[[], Any]) -> dict[str, float]:
    """Return the seconds of a call, and the MiB that it needed above those before it."""
    forget_peak()
    before, started = memory_mb(), time.perf_counter()
    call()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "mb": peak_memory_mb() - before}


def _write_log(file: Path, users: int, items: int) -> None:
    """Write ``LENGTH`` interactions a user; every item is in one at least."""
    generator = np.random.default_rng([users, items])
    drawn = generator.integers(0, items, users * LENGTH)
    places = generator.permutation(len(drawn))[:items]
    drawn[places] = np.arange(len(places))
    rows = (f"u{n // LENGTH},i{item},{n}" for n, item in enumerate(drawn))
    file.write_text("user,item,time\n" + "\n".join(rows) + "\n", encoding="utf-8")
