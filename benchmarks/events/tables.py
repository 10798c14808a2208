"""Models that read features beside one that reads items alone, under the same recipe."""

import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.engine.prepared import prepared
from benchmarks.engine.rows import Row, row
from benchmarks.quality.table import RECIPES, SEEDS, judged, rows_of, trained

MODULE = "benchmarks.events"
TITLES = RECIPES / "ml1m-a" / "sasrec.yaml"


class Table(NamedTuple):
    """Recipes of this folder on some data."""

    data: str
    recipes: Sequence[str]
    """The first is compared with the others."""
    seeds: Sequence[int] = SEEDS


TABLES = {
    "ratings": Table("ml-1m", ["ratings", "ratings-said"]),
    "times": Table("ml-100k", ["gaps", "sessions"]),
    "times-later": Table("ml-1m-later", ["gaps", "sessions"], SEEDS[:1]),
    "genres": Table("ml-1m", ["genres"], SEEDS[:1]),
}


def measure(name: str, quick: bool) -> Iterator[Row]:
    """Accuracy and its comparisons, then what each model costs."""
    table = TABLES[name]
    folder = prepared(table.data)
    files = [*(RECIPES / "events" / f"{recipe}.yaml" for recipe in table.recipes), TITLES]
    runs = [
        trained(
            file,
            folder,
            quick=quick,
            name=f"{table.data}-events-{'titles' if file == TITLES else file.stem}",
            seeds=table.seeds,
        )
        for file in files
    ]
    result = judged(f"events-{name}", runs, folder, baselines=(), quick=quick)
    yield from rows_of(name, table.data, result, {}, module=MODULE)
    base = step_seconds(runs[-1])
    for run in runs:
        metrics = metrics_of(run)
        tokens = metrics[0]["details"].get("events", {}).get("tokens_per_event", 1)
        model = json.loads((run / "seed-0" / "model" / "config.json").read_text())
        positions = 1 if model.get("event_vectors") == "sum" else tokens
        took = step_seconds(run)
        yield row(
            name,
            f"{table.data}, a training step",
            [1000 * seconds for seconds in took],
            "ms",
            system=run.name,
            ratio=statistics.median(took) / statistics.median(base),
            note=f"ratio: to titles alone; tokens an event: {tokens}, positions: {positions}; "
            f"training {statistics.median(of['costs']['train_seconds'] for of in metrics):.0f} s",
            module=MODULE,
        )


def metrics_of(run: Path) -> list[dict[str, Any]]:
    """Results of the runs in a folder of seeds."""
    files = sorted(run.glob("seed-*/metrics.json"))
    return [json.loads(file.read_text()) for file in files]


def step_seconds(run: Path) -> list[float]:
    """A seed's training time over its steps."""
    return [of["costs"]["train_seconds"] / of["num_steps"] for of in metrics_of(run)]
