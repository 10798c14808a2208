"""``python -m benchmarks.engine.peers [NAME ...] [--quick]``: seqrec beside other libraries.

Each peer runs in the environment that ``benchmarks/peers/README.md`` tells how to make, on the
same prepared folder, with the same threads; runs alternate, and ratios are of medians.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.engine.__main__ import Measurement, parse_options, run
from benchmarks.engine.machine import ROOT, threads
from benchmarks.engine.measure import in_fresh_process, last_line
from benchmarks.engine.prepared import Missing
from benchmarks.engine.ranking import K
from benchmarks.engine.reinforce import NUM_PROMPTS, NUM_SLATES, SLATE_SIZE
from benchmarks.engine.rows import Row, Target, at_least, row
from benchmarks.engine.steps import (
    HIDDEN_SIZE,
    INNER_SIZE,
    NUM_BLOCKS,
    NUM_HEADS,
    Work,
    for_each_work,
)
from seqrec.training.epoch_log import read_log
from seqrec.training.fit import LOG_FILE

MODULE = "benchmarks.engine.peers"
PEERS = ROOT / "benchmarks" / "peers"
NUM_RUNS = 3

BATCH_SIZES = (32, 128, 512)
SWEEP_USERS, MIN_SWEEP_STEPS = 1280, 4
"""Share of an epoch that the search for the peer's best batch runs."""
LOSSES: dict[str, dict[str, list[str]]] = {
    "softmax": {"RecTools": ["--loss", "softmax"], "seqrec": ["objective.loss.name=cross_entropy"]},
    "sampled": {
        "RecTools": ["--loss", "sampled_softmax", "--negatives", "256"],
        "seqrec": ["objective.loss.name=sampled_softmax", "objective.loss.num_negatives=256"],
    },
}
TITLES = {"softmax": "full softmax", "sampled": "256 negatives"}
NOTES = {
    "softmax": "",
    "sampled": "RecTools draws them for each position, seqrec for each step",
}
FLOAT32 = "trainer.precision=float32"
TARGETS = {
    ("softmax", "beauty"): at_least(50),
    ("softmax", "ml-1m"): at_least(10),
    ("sampled", "beauty"): at_least(40),
    ("sampled", "ml-1m"): at_least(12),
}
RANKING_TARGET, RECBOLE_TARGET = at_least(6), at_least(150)
TRL_TARGETS = {"autoregressive": at_least(20), "plackett_luce": at_least(40)}
RECBOLE_WORK = Work("ml-100k", "ML-100K, length 50", max_length=50, batch_size=64)
FEW_EPOCHS, MANY_EPOCHS = 1, 5
"""Epochs of the two runs, whose difference is epochs and validations alone."""


def train_beside_rectools(loss: str, quick: bool) -> Iterator[Row]:
    """Epochs over the same targets, the last ones of each user; RecTools at its best batch."""
    name = f"rectools-{loss}"

    def rows_of(work: Work) -> Iterator[Row]:
        options = [*work_options(work), *LOSSES[loss]["RecTools"]]
        searched: dict[int, float] = {}
        for batch_size in BATCH_SIZES[1:2] if quick else BATCH_SIZES:
            steps = 1 if quick else max(SWEEP_USERS // batch_size, MIN_SWEEP_STEPS)
            size = ["--batch-size", str(batch_size), "--max-steps", str(steps)]
            answer = rectools("train", *options, *size, "--epochs", "2")
            searched[batch_size] = answer["epoch_seconds"][-1]
            yield row(
                name,
                f"epoch, {TITLES[loss]}, {work.title}",
                [searched[batch_size]],
                "s",
                system=f"{answer['system']}, batch {batch_size}",
                note=f"from {steps} steps",
                module=MODULE,
            )
        best = str(min(searched, key=searched.__getitem__))
        short = ["--max-steps", "1"] if quick else []
        settings = [*LOSSES[loss]["seqrec"], "data.windows=last"]
        yield from beside(
            name,
            f"epoch, {TITLES[loss]}, {work.title}",
            "s",
            ours=lambda: epoch_seconds(work, settings),
            peers=lambda: rectools(
                "train", *options, "--batch-size", best, "--epochs", "1", *short
            ),
            figure=lambda answer: answer["epoch_seconds"][-1],
            label=f"batch {best}",
            target=TARGETS[loss, work.data],
            quick=quick,
            note=NOTES[loss],
        )
        yield row(
            name,
            f"epoch, {TITLES[loss]}, {work.title}",
            [epoch_seconds(work, [*settings, FLOAT32]) for _ in range(1 if quick else NUM_RUNS)],
            "s",
            system="seqrec, float32",
            module=MODULE,
        )

    yield from for_each_work(name, rows_of, MODULE)


def recommend_beside_rectools(quick: bool) -> Iterator[Row]:
    """The best of a few repeats of each process."""
    name, repeats = "rectools-recommend", 1 if quick else 3

    def rows_of(work: Work) -> Iterator[Row]:
        ours = {"data": work.data, "folder": work.folder, "num_repeats": repeats, "has_ids": True}
        options = [*work_options(work), "--k", str(K), "--repeats", str(repeats)]
        yield from beside(
            name,
            f"recommend the top {K} to all users, {work.title}",
            "users/s",
            ours=lambda: max(in_fresh_process("ranking", **ours)["users_per_second"]),
            peers=lambda: rectools("recommend", *options),
            figure=lambda answer: answer["users_per_second"],
            label="",
            target=RANKING_TARGET,
            quick=quick,
            is_rate=True,
        )

    yield from for_each_work(name, rows_of, MODULE)


def train_beside_recbole(quick: bool) -> Iterator[Row]:
    """Epochs with their validation; a target of RecBole is a row, of seqrec a position."""
    options = [*work_options(RECBOLE_WORK), "--epochs", "1"]
    short = ["--max-steps", "1", "--batch-size", "128"] if quick else []
    yield from beside(
        "recbole",
        f"epoch and validation, {RECBOLE_WORK.title}",
        "s",
        ours=lambda: validated_epoch_seconds(RECBOLE_WORK),
        peers=lambda: peer("recbole", "train", *options, *short),
        figure=lambda answer: answer["epoch_seconds"][-1] + answer["validation_seconds"][-1],
        label="",
        target=RECBOLE_TARGET,
        quick=quick,
    )


def reinforce_beside_trl(quick: bool) -> Iterator[Row]:
    """The median update: generation, reward, reference and learning."""
    num_updates = 2 if quick else 20
    sizes = ["--updates", str(num_updates), "--threads", str(threads())]

    def of_ours(sampler: str) -> float:
        answer = in_fresh_process("reinforce", sampler=sampler, num_updates=num_updates)
        return statistics.median(answer["update_seconds"])

    for sampler, target in TRL_TARGETS.items():
        yield from beside(
            "trl",
            f"update of {NUM_PROMPTS} x {NUM_SLATES} slates of {SLATE_SIZE}, {sampler}",
            "s",
            ours=partial(of_ours, sampler),
            peers=lambda: peer("trl", *sizes),
            figure=lambda answer: statistics.median(answer["update_seconds"]),
            label="GRPO",
            target=target,
            quick=quick,
        )


def beside(
    name: str,
    work: str,
    unit: str,
    *,
    ours: Callable[[], float],
    peers: Callable[[], dict[str, Any]],
    figure: Callable[[dict[str, Any]], float],
    label: str,
    target: Target,
    quick: bool,
    note: str = "",
    is_rate: bool = False,
) -> Iterator[Row]:
    """The peer's row and ours, whose ratio says how many times faster we are."""
    of_ours: list[float] = []
    answers: list[dict[str, Any]] = []
    for _ in range(1 if quick else NUM_RUNS):
        of_ours.append(ours())
        answers.append(peers())
    of_peers = [figure(answer) for answer in answers]
    ratio = statistics.median(of_peers) / statistics.median(of_ours)
    peak = max(answer["peak_memory_mb"] for answer in answers)
    system = ", ".join(filter(None, [answers[0]["system"], label]))
    memory = f"peak memory {peak:,.0f} MB"
    yield row(name, work, of_peers, unit, system=system, note=memory, module=MODULE)
    yield row(
        name,
        work,
        of_ours,
        unit,
        ratio=1 / ratio if is_rate else ratio,
        target=target,
        note=note,
        module=MODULE,
    )


def epoch_seconds(work: Work, settings: Sequence[str]) -> float:
    """The second epoch of ``seqrec train``, validation left out."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        seqrec_train(work, out, ["trainer.max_epochs=2", *settings])
        return read_log(out / LOG_FILE)[-1]["train_seconds"]


def validated_epoch_seconds(work: Work) -> float:
    """Seconds that each further epoch adds to ``seqrec train``, validation included."""
    wall = {}
    with tempfile.TemporaryDirectory() as folder:
        for epochs in (FEW_EPOCHS, MANY_EPOCHS):
            out = Path(folder) / str(epochs)
            result = seqrec_train(work, out, [f"trainer.max_epochs={epochs}"])
            wall[epochs] = result["wall_seconds"]
    return (wall[MANY_EPOCHS] - wall[FEW_EPOCHS]) / (MANY_EPOCHS - FEW_EPOCHS)


def seqrec_train(work: Work, out: Path, settings: Sequence[str]) -> dict[str, Any]:
    """The JSON result of the command line."""
    command = [sys.executable, "-m", "seqrec", "train", "sft", "--json", "--out", str(out)]
    command += ["--data", work.folder, *work.overrides, *settings]
    return json.loads(last_line(command))


def work_options(work: Work) -> list[str]:
    """The same data, length, size and threads, as a peer's script takes them."""
    values = {
        "data": work.folder,
        "max-length": work.max_length,
        "hidden-size": HIDDEN_SIZE,
        "inner-size": INNER_SIZE,
        "blocks": NUM_BLOCKS,
        "heads": NUM_HEADS,
        "threads": threads(),
    }
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def rectools(*arguments: str) -> dict[str, Any]:
    """The result of RecTools' script."""
    return peer("rectools", *arguments)


def peer(name: str, *arguments: str, script: str = "run.py") -> dict[str, Any]:
    """The result of a script of a peer.

    Raises:
        Missing: its environment does not exist.
    """
    python = PEERS / f".venv-{name}" / "bin" / "python"
    if not python.exists():
        raise Missing(f"no {python.relative_to(ROOT)}; benchmarks/peers/README.md makes it")
    return json.loads(last_line([str(python), str(PEERS / name / script), *arguments]))


MEASUREMENTS: dict[str, Measurement] = {
    "rectools-softmax": lambda quick: train_beside_rectools("softmax", quick),
    "rectools-sampled": lambda quick: train_beside_rectools("sampled", quick),
    "rectools-recommend": recommend_beside_rectools,
    "recbole": train_beside_recbole,
    "trl": reinforce_beside_trl,
}


def main() -> None:
    """Compare with what is named, or with all peers."""
    options = parse_options(__doc__, tuple(MEASUREMENTS))
    chosen = {name: MEASUREMENTS[name] for name in options.names or MEASUREMENTS}
    sys.exit(run(chosen, "peers", options.quick, MODULE))


if __name__ == "__main__":
    main()
