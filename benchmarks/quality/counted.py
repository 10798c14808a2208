"""Baselines that count transitions, tuned alike on every set: what a trained model must beat."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.prepared import prepared
from benchmarks.engine.rows import Row
from benchmarks.quality.table import judged, rows_of

NAME = Path(__file__).stem
DATA = ("ml-1m", "beauty", "ml-1m-later", "ml-100k-later")
COUNTED = ("transition-graph", "seq-rules", "pctm")


def measure(quick: bool) -> Iterator[Row]:
    """A table a data set."""
    for data in DATA:
        options = ("--against", COUNTED[0])
        result = judged(
            f"{NAME}-{data}", [], prepared(data), *options, baselines=COUNTED, quick=quick
        )
        yield from rows_of(NAME, data, result, {})
