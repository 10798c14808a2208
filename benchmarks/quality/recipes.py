"""The best recipes beside tuned baselines, leave-one-out, on the sets of published results."""

from collections.abc import Iterator

from benchmarks.engine.prepared import prepared
from benchmarks.engine.rows import Row, at_least
from benchmarks.quality.table import MODULE, RECIPES, judged, rows_of, trained, write_expected

BEST = {"ml-1m": "ml1m-a-best", "beauty": "beauty-best"}
"""By data, the folder of the recipe; ``engine quality`` measures the published ones beside them."""
TARGETS = {
    "ml-1m": {"recall@10": 0.335, "ndcg@10": 0.200},
    "beauty": {"recall@10": 0.110, "ndcg@10": 0.066},
}


def measure(data: str, quick: bool) -> Iterator[Row]:
    """A table: the recipe's seeds, and the baselines that it must beat."""
    folder, name = prepared(data), BEST[data]
    run = trained(RECIPES / name / "recipe.yaml", folder, quick=quick, name=name)
    result = judged(data, [run], folder, "--strata", quick=quick)
    if not quick:
        write_expected(RECIPES / name, name, result, f"python -m {MODULE} {data}")
    targets = {(name, metric): at_least(bound) for metric, bound in TARGETS[data].items()}
    yield from rows_of(data, data, result, targets)
