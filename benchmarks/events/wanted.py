"""Asked for titles that will be rated 5, and not asked: what people later thought of the hits."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.prepared import prepared
from benchmarks.engine.rows import Row, row
from benchmarks.preference.later import LIKED_HITS, Judged, compared, judged
from benchmarks.quality.table import RECIPES, trained

NAME = Path(__file__).stem
MODULE = "benchmarks.events"
DATA = "ml-1m-last"
ASKED = ("--given", "rating=5")
METRICS = (LIKED_HITS, "recall@10 on liked", "ndcg@10 on liked", "recall@10")


def measure(quick: bool) -> Iterator[Row]:
    """A row a metric and way of asking."""
    data = prepared(DATA)
    runs = trained(RECIPES / "events" / "wanted.yaml", data, quick=quick, name=f"{DATA}-wanted")
    seeds = sorted(runs.glob("seed-*"))
    of = {
        name: Judged.mean_of([judged(seed, data, *options) for seed in seeds])
        for name, options in (("not asked", ()), ("asked for rating 5", ASKED))
    }
    base = of["not asked"]
    for metric in METRICS:
        for name, found in of.items():
            difference = compared(found.values[metric], base.values[metric])
            yield row(
                NAME,
                f"{DATA}, {metric}, {len(seeds)} seeds",
                [found.mean(metric)],
                "",
                system=name,
                note="" if found is base else f"over users who have both: {difference}",
                module=MODULE,
            )
