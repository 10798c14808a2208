"""Recipes beside floors and baselines, leave-one-out: the published sets."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.prepared import prepared
from benchmarks.engine.rows import Row, at_least
from benchmarks.quality.table import RECIPES, judged, rows_of, trained, write_expected

NAME = Path(__file__).stem
RUN = f"python -m benchmarks.quality {NAME}"
TABLES = {
    "ml-1m": ("ml1m-a", "ml1m-a-best"),
    "beauty": ("beauty", "beauty-best"),
}
"""By data, the folders of recipes; the last is compared with all others."""
TARGETS = {
    "ml1m-a-best": (0.335, 0.200),
    "beauty-best": (0.110, 0.066),
}


def measure(quick: bool) -> Iterator[Row]:
    """A table a data set."""
    for data, names in TABLES.items():
        folder = prepared(data)
        runs = {
            name: trained(next((RECIPES / name).glob("*.yaml")), folder, quick=quick, name=name)
            for name in names
        }
        systems = [runs[name] for name in reversed(names)]
        result = judged(data, systems, folder, "--strata", quick=quick)
        if not quick:
            for name in names:
                write_expected(RECIPES / name, name, result, RUN)
        targets = {
            (name, metric): at_least(bound)
            for name, bounds in TARGETS.items()
            for metric, bound in zip(("recall@10", "ndcg@10"), bounds, strict=True)
        }
        yield from rows_of(NAME, data, result, targets)
