"""Quality of the optimizer that touches only the rows of a step, against AdamW.

The recipe for MovieLens-1M with sampled softmax, trained by lazy AdamW on sparse gradients and by
AdamW on dense ones, by three seeds each. It is not inferior if the paired 95 % interval over
users of the metric, averaged over seeds, lies above -3 % of AdamW's.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.engine.machine import ROOT
from benchmarks.engine.prepared import prepared
from benchmarks.engine.quality import SEEDS, run
from benchmarks.engine.rows import Row, at_least, row
from seqrec.evaluation.significance import bootstrap_interval

NAME = Path(__file__).stem
RECIPE = ROOT / "benchmarks" / "ml1m-a" / "sasrec.yaml"
LOSS = "objective.loss={{name: sampled_softmax, num_negatives: 512, sparse: {sparse}}}"
OPTIMIZERS = {"AdamW": "false", "lazy AdamW": "true"}
METRIC = "ndcg@10"
NOT_INFERIOR = at_least(0.97)


def measure(quick: bool) -> Iterator[Row]:
    """A row an optimizer, and the lower end of the interval of their ratio."""
    folder = prepared("ml-1m")
    seeds = SEEDS[: 1 if quick else None]
    users: dict[str, np.ndarray] = {}
    for name, sparse in OPTIMIZERS.items():
        label = name.replace(" ", "-").lower()
        loss = LOSS.format(sparse=sparse)
        runs = [run(RECIPE, folder, seed, quick, label, loss) for seed in seeds]
        users[name] = np.mean(
            [pl.read_parquet(run["per_user"])[METRIC].to_numpy() for run in runs], axis=0
        )
        yield row(
            NAME,
            f"ML-1M A, 512 negatives, {name}, test {METRIC}",
            [run[METRIC] for run in runs],
            "",
            average=lambda values: float(np.mean(values)),
            note=f"mean of {len(runs)} seeds",
        )
    base, lazy = (users[name] for name in OPTIMIZERS)
    low, high = bootstrap_interval(lazy - base, seed=0)
    ratios = [float(1 + bound / base.mean()) for bound in (low, high)]
    yield row(
        NAME,
        "lazy AdamW over AdamW, lower end of the paired 95 % interval",
        [float(lazy.mean() / base.mean())],
        "",
        ratio=ratios[0],
        target=NOT_INFERIOR,
        note=f"interval {ratios[0]:.3f} to {ratios[1]:.3f}",
    )
