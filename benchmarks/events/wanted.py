"""Lists conditioned on a rating of 5 and unconditioned: later ratings of their hits."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.engine.prepared import prepared
from benchmarks.engine.rows import Row, at_least, row
from benchmarks.preference.later import (
    LIKED_HITS,
    by_seed,
    judged,
    mean_of,
    rightly_ordered,
    verdicts,
)
from benchmarks.quality.table import RECIPES, trained

NAME = Path(__file__).stem
MODULE = "benchmarks.events"
DATA = "ml-1m-last"
BASE = "not asked"
ASKED = ("--condition", "rating=5")
SYSTEMS = {
    BASE: (),
    "asked for rating 5": ASKED,
    **{f"asked, guidance {weight}": (*ASKED, "--guidance", str(weight)) for weight in (2, 4, 8)},
}
ACCURACY = "pairs of later items, accuracy"
METRICS = (ACCURACY, LIKED_HITS, "recall@10 on liked", "ndcg@10 on liked", "recall@10")
TARGET = at_least(0.68)


def measure(quick: bool) -> Iterator[Row]:
    """A row a metric and way of asking."""
    data = prepared(DATA)
    runs = trained(RECIPES / "events" / "wanted.yaml", data, quick=quick, name=f"{DATA}-wanted")
    yield from rows_of(sorted(runs.glob("seed-*")), data)


def rows_of(seeds: list[Path], data: Path) -> Iterator[Row]:
    """The rows of some runs."""
    values = {}
    for name, options in SYSTEMS.items():
        ordered = [rightly_ordered(seed, data, *options) for seed in seeds]
        values[ACCURACY, name] = np.stack(ordered)
        lists = [judged(seed, data, *options) for seed in seeds]
        values |= {(metric, name): by_seed(lists, metric) for metric in METRICS[1:]}
    said = verdicts(
        {(m, name): (of, values[m, BASE]) for (m, name), of in values.items() if name != BASE}
    )
    for metric in METRICS:
        for name in SYSTEMS:
            yield row(
                NAME,
                f"{DATA}, {metric}, {len(seeds)} seeds",
                [mean_of(values[metric, name])],
                "",
                system=name,
                target=TARGET if metric == ACCURACY and name != BASE else None,
                note="" if name == BASE else f"over users who have both: {said[metric, name]}",
                module=MODULE,
            )
