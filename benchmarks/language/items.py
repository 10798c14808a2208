"""Histories of MovieLens-1M read by decoders of several kinds, on the same 1,000 seeded users.

Every row is trained, judged and published before the next one begins; a second run goes on with
the rows that are missing.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from benchmarks.engine.machine import ROOT
from benchmarks.engine.measure import Failed
from benchmarks.engine.prepared import FOLDER, prepared
from benchmarks.engine.rows import RESULTS, Row, row, write_rows
from benchmarks.language import decoders
from benchmarks.language.texts import BACKBONE, RANK
from benchmarks.quality.table import judged, seqrec, trained_earlier
from seqrec.data.splits import TEST

NAME = Path(__file__).stem
MODULE = "benchmarks.language"
NUM_USERS = 1000
SEED = 0
LENGTH = 30
"""Items of a history that every decoder reads."""
METRICS = ("recall@10", "ndcg@10")
NATIVE = "native, as long as validation wants"
"""Its item vectors are those that another row starts from."""
ONE_PASS = (
    "data.windows=last",
    "data.batch_size=8",
    "trainer.max_epochs=1",
    "trainer.warmup_steps=10",
    "trainer.schedule=linear",
)
"""Settings of the training of SmolLM2: one pass over the last window of every user."""
TO_THE_END = ("trainer.max_epochs=200", "trainer.patience=5")
SIZE = {f"model.{key}": value for key, value in decoders.SIZE.items()}


class System(NamedTuple):
    """A row: its name in the table, what it overrides, and its training."""

    name: str
    overrides: tuple[str, ...]
    training: str
    """Said in the note."""


def systems(folder: Path) -> list[System]:
    """All rows.

    Args:
        folder: of the runs, and of the models of the native size.
    """
    native = [f"{key}={value}" for key, value in SIZE.items()]
    long, short = "as long as validation wants", "one pass over the last windows"
    rows = [
        System(NATIVE, (*native, *TO_THE_END), long),
        System("native, one pass", (*native, *ONE_PASS), short),
    ]
    vectors = f"model.initial_vectors_of={folder / slug(NATIVE)}"
    for tuning, start in (
        ("lora", ("text",)),
        ("lora", ("model", vectors)),
        ("frozen", ("text",)),
        ("lora", ("random",)),
        ("full", ("text",)),
    ):
        source, *more = start
        kind = f"LoRA of rank {RANK}" if tuning == "lora" else tuning
        whence = {"text": "words of titles", "model": "native vectors"}.get(source, "random rows")
        given = (f"model.initial_vectors={source}", *more, f"model.tuning.name={tuning}")
        name = f"SmolLM2-135M, {kind}, from {whence}"
        rows.append(System(name, (f"model.backbone={BACKBONE}", *given, *ONE_PASS), short))
    for family in decoders.FAMILIES:
        backbone = decoders.write_decoder(folder / family, family)
        same = (f"model.backbone={backbone}", "model.backbone_weights=random")
        rows.append(System(f"{family} of the native size", (*same, *TO_THE_END), long))
    return rows


def measure(quick: bool) -> Iterator[Row]:
    """The rows of all systems, and those of two baselines."""
    num_users = 50 if quick else NUM_USERS
    folder = FOLDER / ("quick" if quick else "runs") / f"{NAME}-{num_users}"
    folder.mkdir(parents=True, exist_ok=True)
    data, done = prepared_users(num_users), list[Row]()
    for baseline in ("popularity", "transitions"):
        kept = folder / f"{baseline}.judged.json"
        done += rows_of(baseline, judged_once(kept, [], data, baselines=[baseline]), "")
    for system in systems(folder):
        try:
            costs = trained(system, data, folder, quick)
        except Failed as reason:
            done.append(row(NAME, NAME, [], "", system=system.name, note=f"failed: {reason}"))
            continue
        run = folder / slug(system.name)
        result = judged_once(folder / f"{run.name}.judged.json", [run], data)
        note = f"{system.training}; {costs['epochs']} epochs, best {costs['best_epoch']}"
        note += trained_earlier(run)
        done += rows_of(system.name, result, note)
        done += cost_rows(system.name, costs, note)
        if not quick:
            write_rows(RESULTS / "language.json", NAME, done)
        print(f"  {system.name}: {costs}", flush=True)
    yield from done


def prepared_users(num_users: int, data: str = "ml-1m", last_part: int = TEST) -> Path:
    """The prepared folder of some users of MovieLens-1M, drawn once for all rows.

    Args:
        num_users: drawn with a seed.
        data: name of the known data.
        last_part: part of its split up to which their interactions are kept.
    """
    folder, whole = FOLDER / f"{data}-{num_users}-users", prepared(data)
    if folder.exists():
        return folder
    users = pl.read_parquet(whole / "users.parquet").select("user", "user_id")
    items = pl.read_parquet(whole / "items.parquet")
    log = pl.read_parquet(whole / "interactions.parquet").with_row_index("row")
    log = log.filter(pl.col("split") <= last_part)
    chosen = log.join(users.sample(num_users, seed=SEED), on="user").sort("row")
    chosen = chosen.join(items.select("item", "item_id"), on="item", maintain_order="left")
    files = [folder.with_name(f"{folder.name}-{part}.parquet") for part in ("log", "titles")]
    chosen.select("user_id", "item_id", "row").write_parquet(files[0])
    items.select("item_id", "title", "genres").write_parquet(files[1])
    given = [str(files[0]), "--order", "row", "--items", str(files[1])]
    seqrec("prepare", *given, "--out", str(folder))
    return folder


def trained(system: System, data: Path, folder: Path, quick: bool) -> dict[str, Any]:
    """The costs of a row's training, which is done once; what was begun goes on.

    The costs of a training that was interrupted are those of its last process.
    """
    out = folder / slug(system.name)
    kept = out.with_suffix(".json")
    if kept.exists() and out.exists():
        return json.loads(kept.read_text())
    short = ["trainer.max_epochs=1"] if quick else []
    command = [sys.executable, "-m", "seqrec", "train", "sft", "--data", str(data)]
    is_begun = out.with_name(f"{out.name}.partial").exists()
    command += ["--out", str(out), "--resume" if is_begun else "--overwrite"]
    command += [f"data.max_length={LENGTH}"]
    command += ["trainer.accelerator=cpu", f"trainer.seed={SEED}", *system.overrides, *short]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise Failed(f"exit code {os.waitstatus_to_exitcode(status)}")
    metrics = json.loads((out / "metrics.json").read_text())
    costs = {
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
        "epochs": len((out / "log.jsonl").read_text().splitlines()),
        "best_epoch": metrics["best_epoch"],
    }
    kept.write_text(json.dumps(costs))
    return costs


def judged_once(
    kept: Path,
    runs: Sequence[Path],
    data: Path,
    options: Sequence[str] = (),
    baselines: Sequence[str] = (),
) -> dict[str, Any]:
    """The result of ``seqrec evaluate``, which is kept in a file: some rows take minutes."""
    if not kept.exists():
        name = f"{MODULE}-{kept.parent.name}-{kept.name.removesuffix('.judged.json')}"
        result = judged(name, runs, data, *options, baselines=baselines)
        kept.write_text(json.dumps(result), encoding="utf-8")
    return json.loads(kept.read_text(encoding="utf-8"))


def rows_of(system: str, result: dict[str, Any], note: str) -> Iterator[Row]:
    """The metrics of one system with their intervals."""
    entry = result["rows"][0]
    for metric in METRICS:
        low, high = entry["intervals"][metric]
        spread = f"95 % interval {low:.4f} to {high:.4f}"
        yield row(
            NAME,
            f"ml-1m, {NUM_USERS:,} users, the last {LENGTH} items: {metric}",
            [entry[metric]],
            "",
            system=system,
            note=f"{spread}; {note}" if note else spread,
            module=MODULE,
        )


def cost_rows(system: str, costs: dict[str, Any], note: str) -> Iterator[Row]:
    """Processor time and memory of a training with its validations."""
    for key, unit, work in (
        ("cpu_seconds", "s", "processor time of training and validation"),
        ("peak_mb", "MB", "peak memory of training"),
    ):
        yield row(NAME, work, [costs[key]], unit, system=system, note=note, module=MODULE)


def slug(name: str) -> str:
    """The folder name of a row."""
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
