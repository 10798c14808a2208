"""Titles that nobody has watched: SmolLM2, grown by their words, beside a model of their content.

A tenth of the titles of MovieLens-1M is kept from training, for the 1,000 users of ``items``.
SmolLM2 learns without them, and ``seqrec extend`` adds them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.engine.prepared import FOLDER
from benchmarks.engine.rows import Row, row
from benchmarks.language.items import (
    NUM_USERS,
    ONE_PASS,
    SIZE,
    System,
    judged_once,
    prepared_users,
    slug,
    trained,
)
from benchmarks.language.texts import BACKBONE, RANK
from benchmarks.quality.table import seqrec
from seqrec.builders.text_search import ENCODER
from seqrec.data.prepared import PreparedData

NAME = Path(__file__).stem
MODULE = "benchmarks.language"
SHARE = "0.1"
K = 50
METRICS = (f"recall@{K}", "ndcg@10")
CONTENT = System(
    "native, content of titles and genres",
    (
        *(f"{key}={value}" for key, value in SIZE.items()),
        f"model.content={{columns: [title, genres], encoder: {ENCODER}}}",
        "trainer.max_epochs=30",
        "trainer.schedule=linear",
    ),
    "30 epochs",
)
WORDS = System(
    f"SmolLM2-135M, LoRA of rank {RANK}, from words of titles",
    (
        f"model.backbone={BACKBONE}",
        "model.initial_vectors=text",
        "model.tuning.name=lora",
        *ONE_PASS,
    ),
    "one pass over the last windows",
)
STARTS = ("words", "text", "random")
"""Where the rows of the new titles come from, as ``seqrec extend --rows`` names it."""


def measure(quick: bool) -> Iterator[Row]:
    """Rows by system, for cold targets alone."""
    num_users = 50 if quick else NUM_USERS
    folder = FOLDER / ("quick" if quick else "runs") / f"cold-{num_users}"
    folder.mkdir(parents=True, exist_ok=True)
    cold, warm = prepared_cold(num_users)
    trained(CONTENT, cold, folder, quick)
    trained(WORDS, warm, folder, quick)
    models = {CONTENT.name: folder / slug(CONTENT.name)}
    new = folder / "new-titles.parquet"
    cold_items(cold).select("item_id", "title", "genres").write_parquet(new)
    for start in STARTS:
        out = folder / f"extended-{start}"
        given = ["--items", str(new), "--rows", start, "--columns", "title,genres"]
        if not out.exists():
            seqrec("extend", str(folder / slug(WORDS.name)), *given, "--out", str(out))
        models[f"SmolLM2-135M, new titles from {start}"] = out
    options = ("--only", "cold", "--k", f"10,{K}", "--metric", METRICS[0])
    work = f"ml-1m, {num_users:,} users, targets among {len(cold_items(cold))} cold titles"
    for system, model in models.items():
        result = judged_once(folder / f"{model.name}.judged.json", [model], cold, options, [])
        yield from rows_of(work, system, result)
    baselines = ["popularity", f"nearest-text:encoder={ENCODER}"]
    for name in baselines:
        kept = folder / f"{name.partition(':')[0]}.judged.json"
        yield from rows_of(
            work, name.partition(":")[0], judged_once(kept, [], cold, options, [name])
        )
    chance = K / result["catalog"]
    yield row(NAME, f"{work}: {METRICS[0]}", [chance], "", system="chance", module=MODULE)


def prepared_cold(num_users: int) -> tuple[Path, Path]:
    """The prepared folder with cold titles, and that of its training part alone."""
    prepared_users(num_users)
    files = [FOLDER / f"ml-1m-{num_users}-users-{part}.parquet" for part in ("log", "titles")]
    cold, warm = (FOLDER / f"ml-1m-{num_users}-users-{part}" for part in ("cold", "warm"))
    options = ["--order", "row", "--items", str(files[1])]
    if not cold.exists():
        source = [str(files[0]), *options, "--cold-share", SHARE]
        seqrec("prepare", *source, "--out", str(cold))
    if not warm.exists():
        ids = {name: pl.read_parquet(cold / f"{name}s.parquet") for name in ("user", "item")}
        log = pl.read_parquet(cold / "interactions.parquet").filter(pl.col("split") == 0)
        for name, table in ids.items():
            log = log.join(table.select(name, f"{name}_id"), on=name, maintain_order="left")
        part = warm.with_suffix(".parquet")
        log.select("user_id", "item_id", "row").write_parquet(part)
        seqrec("prepare", str(part), *options, "--out", str(warm))
    return cold, warm


def cold_items(cold: Path) -> pl.DataFrame:
    """The titles of a prepared folder that nobody has watched in training."""
    data = PreparedData.open(cold)
    counts = data.histories().item_counts(data.num_items)
    return data.items().filter(pl.Series(counts == 0))


def rows_of(work: str, system: str, result: dict[str, Any]) -> Iterator[Row]:
    """The metrics of one system with their intervals."""
    entry = result["rows"][0]
    for metric in METRICS:
        low, high = entry["intervals"][metric]
        note = f"95 % interval {low:.4f} to {high:.4f}"
        given: dict[str, Any] = {"system": system, "note": note, "module": MODULE}
        yield row(NAME, f"{work}: {metric}", [entry[metric]], "", **given)
