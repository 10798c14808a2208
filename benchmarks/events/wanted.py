"""Lists conditioned on a rating of 5 and unconditioned: later ratings of their hits."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.prepared import prepared
from benchmarks.engine.rows import Row, row
from benchmarks.preference.later import LIKED_HITS, by_seed, judged, mean_of, verdicts
from benchmarks.quality.table import RECIPES, trained

NAME = Path(__file__).stem
MODULE = "benchmarks.events"
DATA = "ml-1m-last"
BASE = "not asked"
ASKED = ("--condition", "rating=5")
METRICS = (LIKED_HITS, "recall@10 on liked", "ndcg@10 on liked", "recall@10")


def measure(quick: bool) -> Iterator[Row]:
    """A row a metric and way of asking."""
    data = prepared(DATA)
    runs = trained(RECIPES / "events" / "wanted.yaml", data, quick=quick, name=f"{DATA}-wanted")
    seeds = sorted(runs.glob("seed-*"))
    lists = {
        name: [judged(seed, data, *options) for seed in seeds]
        for name, options in ((BASE, ()), ("asked for rating 5", ASKED))
    }
    values = {(m, name): by_seed(of, m) for m in METRICS for name, of in lists.items()}
    said = verdicts(
        {(m, name): (of, values[m, BASE]) for (m, name), of in values.items() if name != BASE}
    )
    for (metric, name), by_user in values.items():
        yield row(
            NAME,
            f"{DATA}, {metric}, {len(seeds)} seeds",
            [mean_of(by_user)],
            "",
            system=name,
            note="" if name == BASE else f"over users who have both: {said[metric, name]}",
            module=MODULE,
        )
