"""Kills at injected places: runs end bit-equal after ``resume``, outputs are old or new.

A case counts the places of a verb (hooks of training, writes, renames, flushes to disk), and ends a
forked process at one of them without any clean-up, as SIGKILL does.
"""

import functools
import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.campaigns.runner import Verdict, main

KILLED = 137
MINUTES_EVERY_STEP = "trainer.checkpoint_minutes=1e-9"
SMALL = ["data.max_length=12", "data.batch_size=16", "trainer.precision=float32"]
NATIVE = [*SMALL, "model.hidden_size=8"]
SECONDS = 120
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.campaigns.kill_imports"])

TRAINED: dict[str, tuple[str, list[str]]] = {
    "sft": ("sft", [*NATIVE, "trainer.max_epochs=2"]),
    "sft, one epoch": ("sft", [*NATIVE, "trainer.max_epochs=1"]),
    "sft, averaged weights": ("sft", [*NATIVE, "trainer.max_epochs=2", "trainer.ema_decay=0.9"]),
    "dpo": (
        "dpo",
        [*SMALL, "model.from_pretrained=START", "data.pairs=PAIRS", "trainer.max_epochs=2"],
    ),
    "distill": (
        "distill",
        [*NATIVE, "objective.teachers=[START]", "trainer.max_epochs=2"],
    ),
    "reward-model": ("reward-model", [*NATIVE, "trainer.max_epochs=2"]),
    "grpo": (
        "grpo",
        [
            "model.from_pretrained=START",
            "objective.num_updates=4",
            "objective.guard.check_every=2",
            "objective.num_prompts=8",
        ],
    ),
}
"""Recipes and settings of resumed runs, by kind."""
WRITTEN = ("prepare", "pairs", "export")
"""Verbs whose output is replaced as a whole."""


def _call(kind: str, world: Path, out: Path, *, resume: bool) -> None:
    """Run the verb of a kind in a world."""
    import seqrec

    if kind in TRAINED:
        recipe, settings = TRAINED[kind]
        names = {"START": world / "start", "PAIRS": world / "pairs.parquet"}
        for name, path in names.items():
            settings = [setting.replace(name, str(path)) for setting in settings]
        every_step = [] if recipe == "grpo" else [MINUTES_EVERY_STEP]
        seqrec.train(
            recipe, data=world / "data", out=out, overrides=[*settings, *every_step], resume=resume
        )
    elif kind == "prepare":
        seqrec.prepare(world / "log.csv", out=out, overwrite=True)
    elif kind == "pairs":
        seqrec.pairs(data=world / "data", out=out, source="ratings", overwrite=True)
    else:
        seqrec.export(world / "start", out=out, to="numpy", overwrite=True)


def _work(kind: str, world: Path, out: Path, resume: bool, kill_at: int, report: Path) -> None:
    """Run a verb in this process, and end at a place; report the number of places or the error."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    calls = _count_places(kill_at)
    try:
        _call(kind, world, out, resume=resume)
    except Exception as error:
        report.write_text(
            json.dumps({"error": f"{type(error).__name__}: {error}"}), encoding="utf-8"
        )
        os._exit(1)
    report.write_text(json.dumps({"places": len(calls)}), encoding="utf-8")
    os._exit(0)


def _count_places(kill_at: int) -> list[str]:
    """Patch every place so that the call of this number ends the process; return the calls."""
    from seqrec.rl.controller import Controller
    from seqrec.training.epoch_log import EpochLog
    from seqrec.training.module import LearningModule

    calls: list[str] = []
    hooks = ("start", "epoch_start", "batch_start", "batch_end", "epoch_end")
    places: list[tuple[Any, str]] = [(EpochLog, f"on_train_{hook}") for hook in hooks]
    places += [(EpochLog, "on_validation_start"), (EpochLog, "_write")]
    places += [(LearningModule, "optimizer_step"), (Controller, "_one_update")]
    places += [(Path, name) for name in ("write_text", "replace", "rename", "mkdir", "unlink")]
    places += [(os, "fsync"), (shutil, "rmtree")]
    for owner, name in places:
        setattr(owner, name, _stop_before(getattr(owner, name), name, calls, kill_at))
    return calls


def _stop_before(
    plain: Callable[..., Any], name: str, calls: list[str], kill_at: int
) -> Callable[..., Any]:
    @functools.wraps(plain)
    def place(*arguments: Any, **more: Any) -> Any:
        calls.append(name)
        if len(calls) == kill_at:
            os._exit(KILLED)
        return plain(*arguments, **more)

    return place


def _run(
    kind: str, world: Path, out: Path, *, resume: bool = False, kill_at: int = 0
) -> dict[str, Any]:
    """Run a verb in a forked process; return its report, empty if it was killed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        process = _SERVER.Process(target=_work, args=(kind, world, out, resume, kill_at, report))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            return {"error": f"no end after {SECONDS} s"}
        if process.exitcode == KILLED:
            return {}
        if not report.exists():
            return {"error": f"exit code {process.exitcode}"}
        found: dict[str, Any] = json.loads(report.read_text())
        return found


def _build_world(folder: Path) -> None:
    """Write a log, prepared data, a model, and pairs."""
    import polars as pl

    import seqrec
    from seqrec.data.simulation.worlds import first_order_world

    log = first_order_world(num_items=30, seed=0).simulate(120, 10, seed=1)
    log = log.with_columns(rating=1 + pl.int_range(pl.len()) % 5)
    log.write_csv(folder / "log.csv")
    seqrec.prepare(log, out=folder / "data")
    settings = [*NATIVE, "trainer.max_epochs=1"]
    seqrec.train("sft", data=folder / "data", out=folder / "start", overrides=settings)
    seqrec.pairs(data=folder / "data", out=folder / "pairs.parquet", source="ratings")


@functools.cache
def world() -> Path:
    """Return the folder of the world, built once in a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="campaign-world-"))
    process = _SERVER.Process(target=_build_world, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == 0
    return folder


@functools.cache
def whole(kind: str) -> tuple[dict[str, bytes], int]:
    """Return the result of a kind without a kill, and its number of places."""
    out = world() / _name(kind, "whole")
    report = _run(kind, world(), out)
    assert "places" in report, (kind, report)
    return result(kind, out), report["places"]


def result(kind: str, out: Path) -> dict[str, bytes]:
    """Return the parts of an output that a kill must not change."""
    if kind not in TRAINED:
        files = [out] if out.is_file() else sorted(path for path in out.rglob("*"))
        names = [str(path.relative_to(out)) for path in files]
        pairs = zip(names, files, strict=True)
        return {name: path.read_bytes() for name, path in pairs if path.is_file()}
    found = {"weights": (out / "model" / "model.safetensors").read_bytes()}
    metrics = json.loads((out / "metrics.json").read_text())
    kept = {key: metrics[key] for key in ("best_epoch", "num_steps", "validation")}
    found["metrics"] = json.dumps(kept, sort_keys=True).encode()
    if (out / "log.jsonl").exists():
        lines = map(json.loads, (out / "log.jsonl").read_text().splitlines())
        steps = [[line["epoch"], line["step"], line.get("val/ndcg@10")] for line in lines]
        found["log"] = json.dumps(steps).encode()
    return found


def judge(generator: np.random.Generator, folder: Path) -> Verdict:
    """Kill a verb once or twice, let it end, and compare with the run that nothing killed."""
    kind = str(generator.choice([*TRAINED, *WRITTEN]))
    expected, places = whole(kind)
    killed_at: list[int] = []
    out = folder / _name(kind, "out")
    for _ in range(int(generator.integers(1, 3))):
        killed_at.append(int(generator.integers(1, places + 1)))
        report = _run(kind, world(), out, resume=_is_begun(kind, out), kill_at=killed_at[-1])
        if "error" in report:
            return Verdict(kind, "wrong", f"killed at {killed_at}: {report['error']}")
        if kind in WRITTEN and out.exists() and result(kind, out) != expected:
            return Verdict(kind, "wrong", f"killed at {killed_at}: half an output")
    report = _run(kind, world(), out, resume=_is_begun(kind, out))
    if "error" in report:
        return Verdict(kind, "wrong", f"killed at {killed_at}: {report['error']}")
    left = sorted(path.name for path in folder.iterdir() if path != out)
    if left or result(kind, out) != expected:
        return Verdict(kind, "wrong", f"killed at {killed_at}: another result, or left {left}")
    return Verdict(kind, "right")


def _name(kind: str, role: str) -> str:
    """Return the name of an output, with the suffix that the verb asks for."""
    return f"{role} {kind}" + ".parquet" * (kind == "pairs")


def _is_begun(kind: str, out: Path) -> bool:
    return kind in TRAINED and (out.exists() or out.with_name(f"{out.name}.partial").exists())


if __name__ == "__main__":
    raise SystemExit(main(judge, 200))
