"""Ablations: one run per option, evaluated on validation alone.

Finished runs are reused, and unfinished runs resume.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row, row
from benchmarks.quality.table import MODULE, RECIPES, seqrec, trained_earlier

NAME = Path(__file__).stem
METRIC = "ndcg@10"
DATA = {"beauty": "beauty", "ml1m-a": "ml-1m"}


def measure(quick: bool) -> Iterator[Row]:
    """A row a switch, beside the recipe without it."""
    for name, data in DATA.items():
        folder = prepared(data)
        switches = yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text())
        base = None
        for label, overrides in list(switches.items())[: 2 if quick else None]:
            folder_name = f"{name}-ablation-{label}".replace(" ", "-")
            out = FOLDER / ("quick" if quick else "runs") / folder_name
            short = ["trainer.max_epochs=1"] if quick else []
            if quick or not out.exists():
                is_begun = not quick and out.with_name(f"{out.name}.partial").exists()
                seqrec(
                    *("train", str(RECIPES / name / "sasrec.yaml"), "--data", str(folder)),
                    *("--out", str(out), "--resume" if is_begun else "--overwrite"),
                    "trainer.accelerator=cpu",
                    *(overrides or ()),
                    *short,
                )
            found = json.loads((out / "metrics.json").read_text())
            value = found["validation"][METRIC]
            base = base or value
            yield row(
                NAME,
                f"{data}, validation {METRIC}: {label}",
                [value],
                "",
                ratio=value / base,
                note=f"recall@10 {found['validation']['recall@10']:.4f}; "
                f"{' '.join(overrides or ['the recipe itself'])}{trained_earlier(out)}",
                module=MODULE,
            )
