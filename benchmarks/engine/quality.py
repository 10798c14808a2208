"""Time to quality: the recipes beside this folder, trained by three seeds and tested once."""

import json
import shutil
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.engine.machine import ROOT, commit
from benchmarks.engine.measure import last_line
from benchmarks.engine.prepared import FOLDER, Missing, prepared
from benchmarks.engine.rows import Row, Target, at_least, at_most, not_measured, row
from seqrec.runs.evaluation_folder import PER_USER_FILE

NAME = Path(__file__).stem
SEEDS = (0, 1, 2)
FOLDERS = {"ml1m-a": "ml-1m", "beauty": "beauty"}
"""The recipes, and the data that they are for."""
UNITS = {"recall@10": "", "ndcg@10": "", "seconds": "s"}
TARGETS: dict[str, dict[str, Target]] = {
    "ml1m-a": {
        "recall@10": at_least(0.315),
        "ndcg@10": at_least(0.182),
        "seconds": at_most(12 * 60),
    },
    "beauty": {"ndcg@10": at_least(0.0531), "seconds": at_most(8 * 60)},
}


def measure(quick: bool) -> Iterator[Row]:
    """Means over seeds, by recipe."""
    for name, data in FOLDERS.items():
        recipes = sorted((ROOT / "benchmarks" / name).glob("*.yaml"))
        if not recipes:
            yield not_measured(NAME, name, Missing(f"no recipe in benchmarks/{name}/"))
            continue
        try:
            folder = prepared(data)
        except Missing as reason:
            yield not_measured(NAME, name, reason)
            continue
        for recipe in recipes:
            yield from _rows_of(recipe, folder, quick)


def _rows_of(recipe: Path, folder: Path, quick: bool) -> Iterator[Row]:
    name = f"{recipe.parent.name}/{recipe.stem}"
    runs = [run(recipe, folder, seed, quick) for seed in SEEDS[: 1 if quick else None]]
    epochs = ", ".join(f"{run['best_epoch']} of {run['num_epochs']}" for run in runs)
    for key, unit in UNITS.items():
        values = [run[key] for run in runs]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        yield row(
            NAME,
            f"{name}, {'training' if key == 'seconds' else 'test ' + key}, mean of seeds",
            values,
            unit,
            target=TARGETS[recipe.parent.name].get(key),
            average=statistics.fmean,
            note=f"sd {deviation:.4g}; best epochs {epochs}",
        )


def run(
    recipe: Path, folder: Path, seed: int, quick: bool, label: str = "", *overrides: str
) -> dict[str, Any]:
    """Train and test by the command line; ``seconds`` are those of the training.

    A run that this commit has finished is not done again: a measurement that was cut goes on.
    ``per_user`` is the file that holds the metrics of each.
    """
    label = f"-{label}" if label else ""
    out = FOLDER / "runs" / f"{recipe.parent.name}-{recipe.stem}{label}-{seed}"
    shutil.rmtree(out.with_name(out.name + ".partial"), ignore_errors=True)
    data = ["--data", str(folder), "--json", "--overwrite"]
    short = ["trainer.max_epochs=1"] if quick else []
    settings = [f"trainer.seed={seed}", "trainer.accelerator=cpu", *overrides, *short]
    if quick or not _is_of_this_commit(out):
        _seqrec("train", str(recipe), "--out", str(out), *data, *settings)
    trained = json.loads((out / "metrics.json").read_text())
    judged = out / "test"
    tested = json.loads(_seqrec("evaluate", str(out), "--k", "10", "--out", str(judged), *data))[
        "rows"
    ][0]
    return {
        "seconds": trained["wall_seconds"],
        "per_user": judged / PER_USER_FILE,
        **{key: tested[key] for key in UNITS if key in tested},
        **{key: trained[key] for key in ("best_epoch", "num_epochs")},
    }


def _is_of_this_commit(run: Path) -> bool:
    if not (run / "metrics.json").exists():
        return False
    provenance = yaml.safe_load((run / "config.yaml").read_text())["provenance"]
    return provenance["commit"] == commit()


def _seqrec(*arguments: str) -> str:
    return last_line([sys.executable, "-m", "seqrec", *arguments])
