"""Objective x source of pairs x SFT share: one run each, judged on validation alone."""

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row, row
from benchmarks.preference.liked import DATA, MODULE, pairs_file, sft_run, trained
from benchmarks.quality.table import RECIPES, seqrec
from seqrec.training.epoch_log import read_log
from seqrec.training.fit import LOG_FILE

NAME = Path(__file__).stem
LOSSES = ("dpo", "ipo", "simpo", "kto", "s_dpo")
SFT_SHARES = (0.0, 0.1, 0.5)
SHORT = ("trainer.max_epochs=1", "objective.tolerance=0.99")
"""So that collapse is seen, not stopped."""


def measure(quick: bool) -> Iterator[Row]:
    """A row a combination."""
    data = prepared(DATA)
    start = sft_run(data, 0, quick)
    sources = {"ratings": pairs_file(data), "implicit": implicit_pairs(data, start)}
    for source, pairs in sources.items():
        for loss in LOSSES[: 1 if quick else None]:
            for share in SFT_SHARES[: 1 if quick else None]:
                more = [f"objective.loss={{name: {loss}}}", f"objective.sft_share={share}", *SHORT]
                recipe = RECIPES / "preference" / "dpo.yaml"
                name = f"screening-{source}-{loss}-{share}"
                run = trained(name, recipe, data, start, pairs, 0, quick, *more)
                yield _row(run, f"{source}, {loss}, SFT share {share}")


def implicit_pairs(data: Path, start: Path) -> Path:
    """The item watched next against items of the SFT model's own lists."""
    file = FOLDER / "preference-pairs-implicit.parquet"
    seqrec(
        *("pairs", "--data", str(data), "--source", "implicit", "--model", str(start)),
        *("--out", str(file), "--overwrite"),
    )
    return file


def _row(run: Path, work: str) -> Row:
    before = json.loads((run / "metrics.json").read_text())["validation_before"]
    last = read_log(run / LOG_FILE)[-1]  # collapsed or not: the start may have been kept
    after = {key.removeprefix("val/"): value for key, value in last.items()}
    text = ", ".join(
        f"{key} {before[key]:.4f} -> {after[key]:.4f}" for key in ("recall@10", "ndcg@10")
    )
    return row(
        NAME,
        f"validation pair accuracy: {work}",
        [after["pair_accuracy"]],
        "",
        ratio=after["pair_accuracy"] / before["pair_accuracy"],
        note=f"from {before['pair_accuracy']:.4f}; {text}; KL {after['kl_nats']:.3f} nats; "
        f"chosen {after['chosen_ratio_nats']:+.2f} nats",
        module=MODULE,
    )
