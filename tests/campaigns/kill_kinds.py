"""The verbs that are killed: how each is called, and what a kill must not change of its output."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

MINUTES_EVERY_STEP = "trainer.checkpoint_minutes=1e-9"
SMALL = ["data.max_length=12", "data.batch_size=16", "trainer.precision=float32"]
NATIVE = [*SMALL, "model.hidden_size=8"]
TWO_EPOCHS = [*NATIVE, "trainer.max_epochs=2"]

Content = dict[str, bytes]
"""The parts of an output that a kill must not change, by name."""


@dataclass(frozen=True)
class Call:
    """A call of a verb."""

    world: Path
    out: Path
    version: int = 0
    """The version that is killed is 0; 1 writes another output, which 0 then replaces."""
    resume: bool = False


@dataclass(frozen=True)
class Kind:
    """A verb with its settings, as the campaign calls it."""

    run: Callable[[Call], object]
    read: Callable[[Path], Content]
    suffix: str = ""
    """The end of the output's name."""
    has_resume: bool = False
    """An interrupted run continues with ``resume`` alone."""
    grows: bool = False
    """There is an output before the verb, which it changes."""
    versions: bool = False
    """An output stays unseen until it is whole: reading finds nothing until then."""


def read_files(out: Path, left_out: tuple[str, ...] = ()) -> Content:
    """Return all files of an output, but some that hold times."""
    files = [out] if out.is_file() else sorted(path for path in out.rglob("*") if path.is_file())
    return {
        str(file.relative_to(out)): file.read_bytes() for file in files if file.name not in left_out
    }


def read_run(out: Path) -> Content:
    """Return weights, validation and steps of a run, or of every run of a folder of seeds."""
    found: Content = {}
    for weights in sorted(out.rglob("model.safetensors")):
        run = weights.parent.parent
        name = str(run.relative_to(out))
        found[f"{name} weights"] = hashlib.sha256(weights.read_bytes()).digest()
        metrics = json.loads((run / "metrics.json").read_text())
        kept = {key: metrics[key] for key in ("best_epoch", "num_steps", "validation")}
        found[f"{name} metrics"] = json.dumps(kept, sort_keys=True).encode()
        if (run / "log.jsonl").exists():
            lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
            steps = [[line["epoch"], line["step"], line.get("val/ndcg@10")] for line in lines]
            found[f"{name} log"] = json.dumps(steps).encode()
    return found


def read_search(out: Path) -> Content:
    """Return the trials without their times, the best recipe, and the best model's weights."""
    content = json.loads((out / "trials.json").read_text())
    trials = [{**trial, "train_seconds": None} for trial in content["trials"]]
    weights = {path.parent.parent.name: path.read_bytes() for path in out.rglob("*.safetensors")}
    return {
        "trials": json.dumps(trials, sort_keys=True).encode(),
        "best": (out / "best.yaml").read_bytes(),
        **weights,
    }


def read_evaluation(out: Path) -> Content:
    """Return the numbers of an evaluation without their times."""
    metrics = json.loads((out / "metrics.json").read_text())
    rows = [{**row, "users_per_second": None} for row in metrics.pop("rows", [])]
    return {
        "metrics": json.dumps([metrics, rows], sort_keys=True).encode(),
        "per user": (out / "per_user.parquet").read_bytes(),
    }


def train(recipe: str, settings: list[str], call: Call, *, seeds: list[int] | None = None) -> None:
    """Train with a checkpoint at every step; version 1 has another seed."""
    import seqrec

    names = {"START": call.world / "start", "PAIRS": call.world / "pairs.parquet"}
    names["CACHE"] = call.world / "cache"
    for name, path in names.items():
        settings = [setting.replace(name, str(path)) for setting in settings]
    own = [f"trainer.seed={call.version}"] if seeds is None else []
    every_step = [] if recipe == "grpo" else [MINUTES_EVERY_STEP]
    seqrec.train(
        recipe,
        data=call.world / "data",
        out=call.out,
        overrides=[*settings, *own, *every_step],
        seeds=None if seeds is None else [seed + 2 * call.version for seed in seeds],
        resume=call.resume,
        overwrite=True,
    )


def _tune(call: Call) -> None:
    import seqrec

    space = call.world / "space.yaml"
    seqrec.tune(
        "sft",
        data=call.world / "data",
        out=call.out,
        trials=3 - call.version,
        search=space,
        overrides=[*TWO_EPOCHS, MINUTES_EVERY_STEP],
        resume=call.resume,
        overwrite=True,
    )


def _prepare(call: Call) -> None:
    import seqrec

    log = call.world / "log.csv"
    seqrec.prepare(log, out=call.out, min_user=1 + call.version, overwrite=True)


def _prepare_windows(call: Call) -> None:
    import seqrec

    split = f"windows:2021-03-01,{30 + call.version}d,2"
    seqrec.prepare(call.world / "log.csv", out=call.out, split_by=split, overwrite=True)


def _pairs(call: Call, **options: Any) -> None:
    import seqrec

    if options["source"] == "implicit":
        options["model"] = call.world / "start"
    data = call.world / "data"
    seqrec.pairs(data=data, out=call.out, seed=call.version, overwrite=True, **options)


def _recommend(call: Call) -> None:
    import seqrec

    world, k = call.world, 5 + call.version
    seqrec.recommend(world / "start", data=world / "data", k=k, out=call.out, overwrite=True)


def _cache_top_k(call: Call) -> None:
    import seqrec

    world, k = call.world, 5 + call.version
    seqrec.cache(world / "start", data=world / "data", out=call.out, k=k, overwrite=True)


def _cache_pairs(call: Call) -> None:
    import seqrec

    world, length = call.world, 12 - call.version
    seqrec.cache(
        world / "start",
        data=world / "data",
        pairs=world / "pairs.parquet",
        out=call.out,
        max_length=length,
        overwrite=True,
    )


def _export(call: Call, to: str) -> None:
    import seqrec

    world = call.world
    data = None if call.version else world / "data"
    seqrec.export(world / "start", data=data, out=call.out, to=to, overwrite=True)


def _extend(call: Call) -> None:
    import seqrec

    items = call.world / f"items-{call.version}.csv"
    seqrec.extend(call.world / "start", items=items, out=call.out, rows="random", overwrite=True)


def _evaluate(call: Call) -> None:
    import seqrec

    world, k = call.world, [10 + call.version]
    models = [world / "start", "popularity"]
    seqrec.evaluate(models, data=world / "data", k=k, out=call.out, overwrite=True)


def _training(recipe: str, settings: list[str], seeds: list[int] | None = None) -> Kind:
    return Kind(partial(train, recipe, settings, seeds=seeds), read_run, has_resume=True)


def _written(run: Callable[[Call], object], suffix: str = "", *left_out: str) -> Kind:
    return Kind(run, partial(read_files, left_out=left_out), suffix)


START = "model.from_pretrained=START"
POLICY = ["objective.num_updates=4", "objective.guard.check_every=2", "objective.num_prompts=8"]
KINDS = {
    "sft": _training("sft", TWO_EPOCHS),
    "sft, one epoch": _training("sft", [*NATIVE, "trainer.max_epochs=1"]),
    "sft, averaged weights": _training("sft", [*TWO_EPOCHS, "trainer.ema_decay=0.9"]),
    "sft, refit": _training("sft", [*TWO_EPOCHS, "trainer.refit=validation"]),
    "sft, two seeds": _training("sft", [*NATIVE, "trainer.max_epochs=1"], [0, 1]),
    "dpo": _training("dpo", [*SMALL, START, "data.pairs=PAIRS", "trainer.max_epochs=2"]),
    "distill": _training("distill", [*TWO_EPOCHS, "objective.teachers=[START]"]),
    "distill, cached": _training("distill", [*TWO_EPOCHS, "objective.cache=CACHE"]),
    "reward-model": _training("reward-model", TWO_EPOCHS),
    "grpo": _training("grpo", [START, *POLICY]),
    "grpo, sampled ahead": _training("grpo", [START, *POLICY, "objective.max_staleness=1"]),
    "tune": Kind(_tune, read_search, has_resume=True),
    "prepare": _written(_prepare),
    "prepare, windows": _written(_prepare_windows),
    "pairs": _written(partial(_pairs, source="ratings"), ".parquet"),
    "pairs, implicit": _written(partial(_pairs, source="implicit"), ".parquet"),
    "cache, top k": _written(_cache_top_k),
    "cache, pairs": _written(_cache_pairs, ".parquet"),
    "recommend": _written(_recommend, ".parquet"),
    "export, numpy": _written(partial(_export, to="numpy")),
    "export, parquet": _written(partial(_export, to="parquet")),
    "export, ndjson": _written(partial(_export, to="ndjson")),
    "export, faiss": _written(partial(_export, to="faiss")),
    "extend": _written(_extend),
    "evaluate": Kind(_evaluate, read_evaluation),
}
"""Every verb that writes, with every objective."""


def build_world(folder: Path) -> None:
    """Write a log, prepared data, a model, pairs, a cache and a search space."""
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
    seqrec.cache(folder / "start", data=folder / "data", out=folder / "cache", k=5)
    for version in range(2):
        (folder / f"items-{version}.csv").write_text(f"item_id,title\nnew,Title {version}\n")
    space = "search: {trainer.learning_rate: {low: 0.001, high: 0.1, log: true}}\n"
    (folder / "space.yaml").write_text(space)
