"""A week of new data: a model that goes on with it beside one that is trained anew.

Learning rate, epochs and the share of old windows are guesses; a lower rate was no better on
validation.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.engine.prepared import FOLDER
from benchmarks.engine.rows import Row, Target, at_least, at_most, row
from benchmarks.quality.table import MODULE, RECIPES, SEEDS, judged, rows_of, seqrec, trained

NAME = Path(__file__).stem
START, NEW_DAYS = "1998-04-02", "1998-03-26"
"""First test day of the first window, and the first day that its training has not seen."""
GO_ON = (
    "trainer.max_epochs=10",
    "trainer.warmup_steps=10",
    "trainer.learning_rate=0.001",
    f"data.replay={{since: {NEW_DAYS}, share: 0.1}}",
)


def measure(quick: bool) -> Iterator[Row]:
    """A week of MovieLens-100K: a model that goes on, one that is trained anew, the old one."""
    weeks = FOLDER / "ml-100k-weeks"
    split = ["--split-by", f"windows:{START},7d,2", "--targets", "successive"]
    seqrec("prepare", "movielens-100k", "--out", str(weeks), "--overwrite", *split)
    recipe = RECIPES / "ml-100k-later" / "sasrec.yaml"
    train = partial(trained, recipe, quick=quick, seeds=SEEDS)
    old = train(weeks / "window-1", name="week-1")
    anew = train(weeks / "window-2", name="week-2-anew")
    start = f"model.from_pretrained={old}/seed-{{seed}}"
    went_on = train(weeks / "window-2", start, *GO_ON, name="week-2-went-on")
    result = judged(
        "ml-100k-weeks", [old, anew, went_on], weeks / "window-2", baselines=[], quick=quick
    )
    metrics = {one["system"]: one["ndcg@10"] for one in result["rows"]}
    kept = metrics[went_on.name] / metrics[anew.name]
    targets: dict[tuple[str, str], Target] = {}
    yield from rows_of(NAME, "ml-100k, the week after", result, targets)
    work = "ml-100k, a week of new data, went on against trained anew"
    yield row(
        NAME, f"{work}, ndcg@10", [kept], "", ratio=kept, target=at_least(0.98), module=MODULE
    )
    steps = [_count_steps(run) for run in (went_on, anew)]
    share = steps[0] / steps[1]
    yield row(NAME, f"{work}, steps", [share], "", ratio=share, target=at_most(0.1), module=MODULE)


def _count_steps(run: Path) -> float:
    """Return the optimizer steps of a run's seeds, on average."""
    results = [pl.read_json(file) for file in sorted(run.glob("seed-*/metrics.json"))]
    return float(np.mean([one["num_steps"].item() for one in results]))
