"""SFT's first three items and those of the RL policy that started from it; three seeds."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import Row, Target, at_least, at_most, row
from benchmarks.preference.later import by_seed, mean_of, verdicts
from benchmarks.preference.liked import DATA, sft_run
from benchmarks.quality.table import RECIPES, SEEDS, seqrec
from benchmarks.reinforcement.judging import People
from benchmarks.reinforcement.likes import MODULE, reward_run
from seqrec.reports.timeline import stage_seconds
from seqrec.rl.frontier import FrontierPoint, share_of_frontier
from seqrec.rl.stage_log import read_events

NAME = Path(__file__).stem
RECIPE = RECIPES / "reinforcement" / "slates.yaml"
HELD_OUT_SHARE = 0.2
"""The reward model's held-out share; RL has no prompts of these users."""
TEMPERATURES = (0.25, 0.5, 0.75, 1.0)
PAID = "reward of the first three titles"
LIKED = "first three titles hold one rated 4-5 later"
METRICS = ("recall@10", "recall@50", "ndcg@10 on liked", "lists with a disliked title")
GAIN, SHARE, BUDGET, IDLE = at_least(1.2), at_least(0.9), at_most(0.2), at_most(0.1)


def measure(quick: bool) -> Iterator[Row]:
    """Rewards, what no reward saw, the plain task, and where the time went."""
    data = prepared(DATA)
    people = People(data, HELD_OUT_SHARE)
    seeds = SEEDS[: 1 if quick else None]
    starts = [sft_run(data, seed, quick) for seed in seeds]
    judges = [reward_run(seed, quick) for seed in seeds]
    runs = [
        rl_run("rl", RECIPE, data, start, seed, quick, f"objective.rewards={_paid_by(judge)}")
        for seed, start, judge in zip(seeds, starts, judges, strict=True)
    ]
    systems = {"SFT": starts, "RL": runs}
    lists = {name: [people.of(run) for run in of] for name, of in systems.items()}
    tops = {name: [people.top(run) for run in of] for name, of in systems.items()}
    values = {
        PAID: {
            name: np.stack([people.rewards(*of) for of in zip(judges, tops[name], strict=True)])
            for name in systems
        },
        LIKED: {name: np.stack([people.has_liked(top) for top in tops[name]]) for name in systems},
        **{m: {name: by_seed(lists[name], m) for name in systems} for m in METRICS},
    }
    said = verdicts({(m, "RL"): (of["RL"], of["SFT"]) for m, of in values.items()})
    work = f"{DATA}, {len(people.numbers):,} users held out, {len(seeds)} seeds"
    yield from _pair(work, PAID, values[PAID], said, GAIN)
    yield from _sampled(f"{work}: reward of three sampled titles", people, systems, judges)
    yield row(
        NAME,
        f"{DATA}: divergence from SFT, nats a title",
        [_metrics(run)["details"]["kl_nats"] for run in runs],
        "",
        system="RL",
        target=BUDGET,
        note="; ".join(_metrics(run)["details"]["reason"] for run in runs),
        module=MODULE,
    )
    yield _of_frontier(work, people, starts, judges, runs, values[PAID])
    for metric in (LIKED, *METRICS):
        yield from _pair(work, metric, values[metric], said)
    yield _stages(runs)


def rl_run(
    name: str, recipe: Path, data: Path, start: Path, seed: int, quick: bool, *overrides: str
) -> Path:
    """A run of reinforcement learning; one that is there is not done again."""
    out = FOLDER / ("quick" if quick else "runs") / f"{DATA}-{name}" / f"seed-{seed}"
    if out.exists() and not quick:
        return out
    short = ["objective.num_updates=20"] if quick else []
    seqrec(
        *("train", str(recipe), "--data", str(data), "--out", str(out), "--overwrite"),
        *(f"model.from_pretrained={start}", f"trainer.seed={seed}", "trainer.accelerator=cpu"),
        *(f"objective.held_out_share={HELD_OUT_SHARE}", *overrides, *short),
    )
    return out


def _paid_by(judge: Path) -> str:
    return f"[{{name: model, path: {judge}}}, {{name: rating}}]"


def _pair(
    work: str,
    metric: str,
    of: dict[str, np.ndarray],
    said: dict[tuple[str, str], str],
    target: Target | None = None,
) -> Iterator[Row]:
    base = mean_of(of["SFT"])
    for name, values in of.items():
        is_base = name == "SFT"
        yield row(
            NAME,
            f"{work}: {metric}",
            [mean_of(values)],
            "",
            system=name,
            ratio=None if is_base else mean_of(values) / base,
            target=None if is_base else target,
            note="" if is_base else f"against SFT: {said[metric, name]}",
            module=MODULE,
        )


def _sampled(
    work: str, people: People, systems: dict[str, list[Path]], judges: list[Path]
) -> Iterator[Row]:
    """SFT at the temperature that pays it most, RL at the one that it learned at."""
    for name, runs in systems.items():
        paid = {}
        for temperature in TEMPERATURES if name == "SFT" else TEMPERATURES[-1:]:
            values = [
                people.rewards(judge, people.sampled(run, temperature, seed)).mean()
                for seed, (run, judge) in enumerate(zip(runs, judges, strict=True))
            ]
            paid[temperature] = fmean(values)
        best = max(paid, key=lambda temperature: paid[temperature])
        note = ", ".join(f"{value:.4f} at {temperature}" for temperature, value in paid.items())
        yield row(NAME, work, [paid[best]], "", system=name, note=note, module=MODULE)


def _of_frontier(
    work: str,
    people: People,
    starts: list[Path],
    judges: list[Path],
    runs: list[Path],
    paid: dict[str, np.ndarray],
) -> Row:
    """RL's gain as a share of that of p exp(r / beta), for r by the reward model alone."""
    shares, told = [], []
    for seed, (start, judge, run) in enumerate(zip(starts, judges, runs, strict=True)):
        points, kl = people.frontier(start, judge), _metrics(run)["details"]["kl_nats"]
        shares.append(share_of_frontier(points, paid["RL"][seed].mean(), kl) or 0.0)
        at = [float(np.interp(kl, [p.kl_nats for p in points], of)) for of in _curves(points)]
        told.append(f"{at[0]:.4f} of {points[0].top_reward:.4f}, recall@10 {at[1]:.4f} of ")
        told[-1] += f"{points[0].recall:.4f}"
    return row(
        NAME,
        f"{work}: gain of {PAID}, as a share of the frontier's at the same divergence",
        shares,
        "",
        system="RL",
        target=SHARE,
        average=fmean,
        note=f"the frontier p exp(r / beta) there: {'; '.join(told)}",
        module=MODULE,
    )


def _curves(points: list[FrontierPoint]) -> tuple[list[float], list[float]]:
    return [point.top_reward for point in points], [point.recall for point in points]


def _stages(runs: list[Path]) -> Row:
    """Values per update, mean over seeds."""
    of = [stage_seconds(read_events(run / "events.jsonl")) for run in runs]
    shares = [seconds["idle"] / sum(seconds.values()) for seconds in of]
    updates = [_metrics(run)["num_steps"] for run in runs]
    told = ", ".join(
        f"{stage} {fmean(1000 * s[stage] / n for s, n in zip(of, updates, strict=True)):.0f}"
        for stage in of[0]
    )
    return row(
        NAME,
        f"{DATA}: share of the time in which no stage runs",
        shares,
        "",
        system="RL",
        target=IDLE,
        note=f"milliseconds an update: {told}",
        module=MODULE,
    )


def _metrics(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())  # type: ignore[no-any-return]
