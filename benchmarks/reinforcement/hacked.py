"""A policy that is rewarded for one arbitrary item, and the guard that stops it."""

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.prepared import prepared
from benchmarks.engine.rows import Row, at_least, at_most, row
from benchmarks.preference.liked import DATA, sft_run
from benchmarks.reinforcement.likes import MODULE
from benchmarks.reinforcement.slates import RECIPE, rl_run
from seqrec.rl.stage_log import read_events

NAME = Path(__file__).stem
REWARDS = 'objective.rewards=[{name: function, function: "benchmarks.reinforcement.odd:pays"}]'
TOLERANCE, MAX_KL_NATS = 0.02, 0.2
RECKLESS = ("objective.algorithm.name=grpo", "trainer.learning_rate=0.0003")
"""So that it is found and followed; at the recipe's rate little happens."""
STRICT = (f"objective.guard.tolerance={TOLERANCE}", "objective.guard.kl_coef=0.3")


def measure(quick: bool) -> Iterator[Row]:
    """The reward, the stopping point, and the remaining quality of the plain task."""
    data = prepared(DATA)
    run = rl_run(
        "odd", RECIPE, data, sft_run(data, 0, quick), 0, quick, REWARDS, *RECKLESS, *STRICT
    )
    found = json.loads((run / "metrics.json").read_text())
    details = found["details"]
    looks = [event for event in read_events(run / "events.jsonl") if event["stage"] == "guard"]
    metric = found["selection_metric"]
    before, after = found["validation_before"][metric], found["validation"][metric]
    worst = max(looks, key=lambda look: look["kl_nats"])
    yield row(
        NAME,
        f"{DATA}, paid for one odd title: validation {metric} of the weights that are left",
        [after],
        "",
        ratio=after / before,
        target=at_least(1 - TOLERANCE),
        note=f"{len(details['rollbacks'])} times rolled back, {details['reason']}; "
        f"{'; '.join(details['rollbacks'])}",
        module=MODULE,
    )
    yield row(
        NAME,
        f"{DATA}, paid for one odd title: divergence of the weights that are left, nats a title",
        [details["kl_nats"]],
        "",
        target=at_most(MAX_KL_NATS),
        note=f"{worst['kl_nats']:.3f} where it was largest; slates that hold the title: "
        f"{details['reward_before']:.4f} before, {details['reward']:.4f} now, "
        f"{max(look['reward'] for look in looks):.4f} at most",
        module=MODULE,
    )
