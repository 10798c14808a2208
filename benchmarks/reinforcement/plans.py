"""Policies that plan a genre before the slate, beside one that does not; one seed."""

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row, row
from benchmarks.preference.liked import DATA, sft_run
from benchmarks.quality.table import RECIPES, seqrec
from benchmarks.reinforcement.likes import MODULE
from benchmarks.reinforcement.slates import RECIPE, rl_run
from seqrec.rl.stage_log import read_events

NAME = Path(__file__).stem
SFT = RECIPES / "reinforcement" / "planning.yaml"
PLANNED = "objective.slates.plan=true"
FOLLOWED = "objective.rewards=[{name: hit}, {name: format, weight: 0.2}]"


def measure(quick: bool) -> Iterator[Row]:
    """A row a policy: what its best slates are paid on held-out histories."""
    data = prepared(DATA)
    planning = planning_run(data, quick)
    runs = {
        "without a plan": rl_run("hit", RECIPE, data, sft_run(data, 0, quick), 0, quick),
        "with a plan": rl_run("plan", RECIPE, data, planning, 0, quick, PLANNED),
        "with a plan, paid for keeping to it": rl_run(
            "kept-plan", RECIPE, data, planning, 0, quick, PLANNED, FOLLOWED
        ),
    }
    for name, run in runs.items():
        found = json.loads((run / "metrics.json").read_text())
        looks = [event for event in read_events(run / "events.jsonl") if event["stage"] == "guard"]
        metric, details = found["selection_metric"], found["details"]
        shares = [look["share_of_catalog"] for look in (looks[0], looks[-1])]
        yield row(
            NAME,
            f"{DATA}, reward of the most probable slates",
            [details["reward"]],
            "",
            system=name,
            ratio=details["reward"] / details["reward_before"],
            note=f"ratio: to {details['reward_before']:.4f} before; validation {metric} "
            f"{found['validation_before'][metric]:.4f} -> {found['validation'][metric]:.4f}; "
            f"{details['kl_nats']:.3f} nats; {shares[0]:.1%} -> {shares[1]:.1%} of the catalog; "
            f"{details['reason']}",
            module=MODULE,
        )


def planning_run(data: Path, quick: bool) -> Path:
    """SFT that learns to predict a genre before its item; trained once."""
    out = FOLDER / ("quick" if quick else "runs") / f"{DATA}-planning" / "seed-0"
    if not out.exists():
        short = ["trainer.max_epochs=1"] if quick else []
        seqrec(
            *("train", str(SFT), "--data", str(data), "--out", str(out)),
            *("trainer.accelerator=cpu", *short),
        )
    return out
