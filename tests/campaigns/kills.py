"""Kills at injected places: runs end bit-equal after ``resume``, outputs are old or new.

A case counts the places of a verb (hooks of training, writes, renames, flushes to disk), and ends a
forked process at one of them without any clean-up, as SIGKILL does. Half of the cases replace an
output of other settings.
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

from tests.campaigns.kill_kinds import KINDS as FOLDERS
from tests.campaigns.kill_kinds import Call, Content, build_world
from tests.campaigns.kill_places import PLACES, build_places
from tests.campaigns.runner import Verdict, main

KINDS = FOLDERS | PLACES
KILLED = 137
SECONDS = 120
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.campaigns.kill_imports"])


def _work(kind: str, call: Call, kill_at: int, report: Path) -> None:
    """Run a verb in this process, and end at a place; report the number of places or the error."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    calls = _count_places(kill_at)
    try:
        KINDS[kind].run(call)
    except Exception as error:
        report.write_text(
            json.dumps({"error": f"{type(error).__name__}: {error}"}), encoding="utf-8"
        )
        os._exit(1)
    report.write_text(json.dumps({"places": len(calls)}), encoding="utf-8")
    os._exit(0)


def _count_places(kill_at: int) -> list[str]:
    """Patch every place so that the call of this number ends the process; return the calls.

    A file counts where it is opened to be written.
    """
    import polars as pl

    from seqrec.outputs import replacing
    from seqrec.retrieval.stores.duckdb import DuckStore
    from seqrec.retrieval.stores.interface import Store
    from seqrec.retrieval.stores.lancedb import LanceStore
    from seqrec.rl.controller import Controller
    from seqrec.runs.search import Search
    from seqrec.serving.user_stores.sqlite import SqliteStore
    from seqrec.training.epoch_log import EpochLog
    from seqrec.training.module import LearningModule

    calls: list[str] = []
    hooks = ("start", "epoch_start", "batch_start", "batch_end", "epoch_end")
    places: list[tuple[Any, str]] = [(EpochLog, f"on_train_{hook}") for hook in hooks]
    places += [(EpochLog, "on_validation_start"), (EpochLog, "_write")]
    places += [(LearningModule, "optimizer_step"), (Controller, "_one_update")]
    places += [(Search, name) for name in ("_train", "_tell", "_keep_weights", "write")]
    files = ("open", "replace", "rename", "mkdir", "unlink")
    places += [(Path, name) for name in files]
    places += [(os, "fsync"), (shutil, "rmtree"), (replacing, "_exchange"), (np, "save")]
    places += [(pl.DataFrame, "write_parquet")]
    places += [(store, name) for store in (LanceStore, DuckStore) for name in _methods(Store)]
    places += [(SqliteStore, name) for name in ("add", "close")]
    for owner, name in places:
        setattr(owner, name, _stop_before(getattr(owner, name), name, calls, kill_at))
    return calls


def _methods(interface: type) -> list[str]:
    return sorted(interface.__abstractmethods__)  # type: ignore[attr-defined]


def _stop_before(
    plain: Callable[..., Any], name: str, calls: list[str], kill_at: int
) -> Callable[..., Any]:
    @functools.wraps(plain)
    def place(*arguments: Any, **more: Any) -> Any:
        mode = [*arguments[1:2], more.get("mode", "r")][0] if name == "open" else "w"
        if mode[0] != "r":
            calls.append(name)
            if len(calls) == kill_at:
                os._exit(KILLED)
        return plain(*arguments, **more)

    return place


def _run(kind: str, call: Call, kill_at: int = 0) -> dict[str, Any]:
    """Run a verb in a forked process; return its report, empty if it was killed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        process = _SERVER.Process(target=_work, args=(kind, call, kill_at, report))
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


@functools.cache
def world() -> Path:
    """Return the folder of the world, built once in a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="campaign-world-"))
    for build in (build_world, build_places):
        process = _SERVER.Process(target=build, args=(folder,))
        process.start()
        process.join()
        assert process.exitcode == 0
    return folder


@functools.cache
def whole(kind: str, version: int = 0) -> tuple[Path, int]:
    """Return the output of a kind without a kill, and its number of places."""
    out = world() / f"whole {kind} {version}{KINDS[kind].suffix}"
    report = _run(kind, Call(world(), out, version))
    assert "places" in report, (kind, report)
    return out, report["places"]


def judge(generator: np.random.Generator, folder: Path) -> Verdict:
    """Kill a verb once or twice, let it end, and compare with the run that nothing killed."""
    kind = str(generator.choice([*KINDS]))
    has_old = bool(generator.integers(2)) or KINDS[kind].grows
    (new, places), read = whole(kind), KINDS[kind].read
    expected = read(new)
    out, known = folder / f"out {kind}{KINDS[kind].suffix}", [expected]
    if has_old:
        old, _ = whole(kind, 1)
        (shutil.copyfile if old.is_file() else shutil.copytree)(old, out)
        known.append(read(old))
    if KINDS[kind].versions and not (has_old and known[-1]):
        known.append({})
    killed_at: list[int] = []
    kills = int(generator.integers(1, 3))
    for number in range(kills + 1):
        killed_at.append(int(generator.integers(1, places + 1)) if number < kills else 0)
        report = _run(kind, Call(world(), out, 0, _is_begun(kind, out)), killed_at[-1])
        problem = report.get("error") or _find_damage(out, read, known, has_old)
        if problem:
            return Verdict(kind, "wrong", f"killed at {killed_at}, old {has_old}: {problem}")
    left = sorted(path.name for path in folder.iterdir() if path != out)
    if left or read(out) != expected:
        different = [key for key in expected if read(out).get(key) != expected[key]]
        what = f"another {different}" if different else f"left {left}"
        again = folder / f"again {kind}{KINDS[kind].suffix}"
        _run(kind, Call(world(), again))
        what += "" if read(again) == expected else "; whole runs differ, too"
        return Verdict(kind, "wrong", f"killed at {killed_at}, old {has_old}: {what}")
    return Verdict(kind, "right")


def _find_damage(
    out: Path, read: Callable[[Path], Content], known: list[Content], has_old: bool
) -> str:
    """Say what is wrong with an output that must be one of the known, whole; empty if nothing."""
    if not out.exists():
        return "the old output is lost" if has_old else ""
    try:
        return "" if read(out) in known else "neither the old output nor the new one"
    except (OSError, ValueError, KeyError) as error:
        return f"half an output: {error!r}"


def _is_begun(kind: str, out: Path) -> bool:
    return KINDS[kind].has_resume and out.with_name(f"{out.name}.partial").exists()


if __name__ == "__main__":
    raise SystemExit(main(judge, 200))
