"""The reward model on held-out users, beside baselines without a model."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row, at_least, at_most, row
from benchmarks.preference.liked import DATA
from benchmarks.quality.table import RECIPES, SEEDS, seqrec

NAME = Path(__file__).stem
MODULE = "benchmarks.reinforcement"
RECIPE = RECIPES / "reinforcement" / "likes.yaml"
MIN_AUC, MAX_CALIBRATION_ERROR = at_least(0.8), at_most(0.03)


def measure(quick: bool) -> Iterator[Row]:
    """Rows of model and baselines."""
    seeds = SEEDS[: 1 if quick else None]
    held_out = [said_of(reward_run(seed, quick)) for seed in seeds]
    users, answers = held_out[0]["users"], held_out[0]["answers"]
    work = f"{DATA}, liked (4-5) against not, {users:,} users, {answers:,} ratings"
    gains = [found["auc_gain"] for found in held_out]
    told = "; ".join(
        f"{of['difference']:+.4f} ({of['low']:+.4f} to {of['high']:+.4f})" for of in gains
    )
    yield row(
        NAME,
        f"{work}: AUC, mean of seeds",
        [found["model"]["auc"] for found in held_out],
        "",
        target=MIN_AUC,
        average=fmean,
        note=f"over the harder baseline, by seed, with the users' 95 % interval: {told}",
        module=MODULE,
    )
    yield row(
        NAME,
        f"{work}: calibration error, mean of seeds",
        [found["model"]["calibration_error"] for found in held_out],
        "",
        target=MAX_CALIBRATION_ERROR,
        average=fmean,
        module=MODULE,
    )
    for baseline in held_out[0]["baselines"]:
        of = [found["baselines"][baseline] for found in held_out]
        yield row(
            NAME,
            f"{work}: AUC, mean of seeds",
            [found["auc"] for found in of],
            "",
            system=baseline,
            average=fmean,
            note=f"calibration error {fmean(found['calibration_error'] for found in of):.4f}",
            module=MODULE,
        )


def reward_run(seed: int, quick: bool) -> Path:
    """A reward model of the training part; one that is there is not trained again."""
    out = FOLDER / ("quick" if quick else "runs") / f"{DATA}-likes" / f"seed-{seed}"
    if not out.exists():
        short = ["trainer.max_epochs=1"] if quick else []
        seqrec(
            *("train", str(RECIPE), "--data", str(prepared(DATA)), "--out", str(out)),
            *(f"trainer.seed={seed}", "trainer.accelerator=cpu", *short),
        )
    return out


def said_of(run: Path) -> dict[str, Any]:
    """A run's results on its held-out users."""
    result = json.loads((run / "metrics.json").read_text())
    return result["details"]["held_out"]  # type: ignore[no-any-return]
