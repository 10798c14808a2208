"""The best recipes and the shipped one beside tuned baselines, leave-one-out, as published."""

from collections.abc import Iterator

from benchmarks.engine.prepared import prepared
from benchmarks.engine.rows import Row, at_least, row
from benchmarks.quality.table import (
    MODULE,
    RECIPES,
    SHIPPED,
    judged,
    rows_of,
    trained,
    write_expected,
)

BEST = {"ml-1m": "ml1m-a-best", "beauty": "beauty-best"}
"""By data, the folder of the recipe; ``engine quality`` measures the published ones beside them."""
TARGETS = {
    "ml-1m": {"recall@10": 0.360, "ndcg@10": 0.215},
    "beauty": {"recall@10": 0.110, "ndcg@10": 0.068},
}
MIN_SHARE = 0.97
"""The share of the best recipe's NDCG@10 that the shipped one must hold."""


def measure(data: str, quick: bool) -> Iterator[Row]:
    """A table: the recipe's seeds, and the baselines that it must beat."""
    folder, name = prepared(data), BEST[data]
    run = trained(RECIPES / name / "recipe.yaml", folder, quick=quick, name=name)
    shipped = trained(SHIPPED, folder, quick=quick, name=f"{data}-{SHIPPED}")
    result = judged(data, [run, shipped], folder, "--strata", quick=quick)
    if not quick:
        write_expected(RECIPES / name, name, result, f"python -m {MODULE} {data}")
    targets = {(name, metric): at_least(bound) for metric, bound in TARGETS[data].items()}
    yield from rows_of(data, data, result, targets)
    reached = {entry["system"]: entry["ndcg@10"] for entry in result["rows"]}
    share = reached[shipped.name] / reached[run.name]
    yield row(
        data,
        f"{data}, ndcg@10 of the shipped recipe, of that of the best one",
        [share],
        "",
        system=shipped.name,
        ratio=share,
        target=at_least(MIN_SHARE),
        module=MODULE,
    )
