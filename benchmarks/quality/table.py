"""Recipes of several seeds and tuned baselines in one table of ``seqrec evaluate``."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.engine.machine import ROOT, commit
from benchmarks.engine.measure import last_line
from benchmarks.engine.prepared import FOLDER
from benchmarks.engine.rows import Row, Target, row

MODULE = "benchmarks.quality"
SEEDS = (0, 1, 2)
NUM_TRIALS = 20
FLOORS = (
    "popularity",
    "recent-popularity",
    "transitions",
    "transition-graph",
    "seq-rules",
    "pctm",
    "item-knn",
    "ease",
    "als",
    "bpr",
)
METRICS = ("recall@10", "ndcg@10")
COMMIT_LETTERS = 9
SHIPPED = Path("sft-best")
"""The shipped recipe, of which nothing was chosen on a single set."""
TOLERANCE = 0.002
"""Tolerated difference of another machine's mean from ``expected.json``."""


def trained(
    recipe: Path,
    data: Path,
    *overrides: str,
    quick: bool = False,
    name: str = "",
    seeds: Sequence[int] = SEEDS,
) -> Path:
    """The folder of a recipe's seeds; one that was begun goes on."""
    out = FOLDER / "runs" / (name or f"{recipe.parent.name}-{recipe.stem}-seeds")
    if quick:
        out = FOLDER / "quick" / out.name
        shutil.rmtree(out, ignore_errors=True)
    seeds = seeds[: 1 if quick else None]
    short = ["trainer.max_epochs=1"] if quick else []
    settings = ["trainer.accelerator=cpu", *overrides, *short]
    is_begun = out.exists() or out.with_name(f"{out.name}.partial").exists()
    seqrec(
        *("train", str(recipe), "--data", str(data), "--out", str(out)),
        *("--seeds", ",".join(map(str, seeds)), *(["--resume"] if is_begun else [])),
        *settings,
    )
    return out


def judged(
    name: str,
    systems: Sequence[str | Path],
    data: Path,
    *options: str,
    baselines: Sequence[str] = FLOORS,
    quick: bool = False,
) -> dict[str, Any]:
    """The result of ``seqrec evaluate``; its report stays in a folder of that name."""
    folder = FOLDER / ("quick" if quick else "tables") / name
    if quick:
        baselines = baselines[:1]
    return seqrec(
        *("evaluate", *map(str, systems), *baselines, "--data", str(data)),
        *("--tune-baselines", str(NUM_TRIALS), *options),
        *("--out", str(folder), "--overwrite"),
    )


def rows_of(
    name: str,
    work: str,
    result: Mapping[str, Any],
    targets: Mapping[tuple[str, str], Target],
    metrics: Sequence[str] = METRICS,
    module: str = MODULE,
) -> Iterator[Row]:
    """A row a system and metric, and one a comparison."""
    for entry in result["rows"]:
        earlier = trained_earlier(result["models"].get(entry["system"], ""))
        for metric in metrics:
            low, high = entry["intervals"][metric]
            spread = ""
            if "sd" in entry:
                spread = f"sd {entry['sd'][metric]:.4f} of {entry['seeds']} seeds, "
            yield row(
                name,
                f"{work}, {metric}",
                [entry[metric]],
                "",
                system=entry["system"],
                target=targets.get((entry["system"], metric)),
                note=f"{spread}95 % interval {low:.4f} to {high:.4f}{earlier}",
                module=module,
            )
    for found in result["comparisons"]:
        verdict = "significant" if found["is_significant"] else "not significant"
        verdict += ", not inferior" * (found["is_not_inferior"] and not found["is_significant"])
        verdict += " (one run)" * (found["runs"] == 1)
        relative = "" if found["relative"] is None else f"{found['relative']:+.1%}, "
        yield row(
            name,
            f"{work}, {found['metric']} against {found['other']}",
            [found["difference"]],
            "",
            system=found["system"],
            ratio=None,
            note=f"{relative}p = {found['p_value']:.4f}: {verdict}",
            module=module,
        )


def trained_earlier(folder: str | Path) -> str:
    """The note on runs that were trained at another commit than the evaluation's."""
    folder = Path(folder)
    commits = {
        yaml.safe_load(file.read_text())["provenance"]["commit"]
        for file in (*folder.glob("config.yaml"), *folder.glob("seed-*/config.yaml"))
    }
    others = sorted(str(one)[:COMMIT_LETTERS] for one in commits - {commit().rstrip("+")})
    return f", trained at {', '.join(others)}" if others else ""


def write_expected(
    folder: Path,
    system: str,
    result: Mapping[str, Any],
    command: str,
    metrics: Sequence[str] = METRICS,
) -> None:
    """``expected.json`` beside a recipe: what it reached."""
    entry = next(entry for entry in result["rows"] if entry["system"] == system)
    reached = {
        metric: {"mean": entry[metric], "sd": entry["sd"][metric], "tolerance": TOLERANCE}
        for metric in metrics
    }
    expected = {
        "command": command,
        "seeds": list(SEEDS),
        "metrics": reached,
        "protocol": result["protocol"],
        "commit": commit() + trained_earlier(result["models"][system]),
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


def seqrec(*arguments: str) -> dict[str, Any]:
    """The result of a verb, run from the root of the repository."""
    return json.loads(last_line([sys.executable, "-m", "seqrec", *arguments, "--json"]))


RECIPES = ROOT / "benchmarks"
