"""A small world for campaigns: a log, prepared data, a run and everything made from it."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

import seqrec
from seqrec.serving.user_stores.opening import open_user_store
from tests.language import save_tiny_llama

NUM_USERS, NUM_ITEMS = 40, 12
SMALL = [
    "model.hidden_size=8",
    "model.intermediate_size=16",
    "model.num_hidden_layers=1",
    "model.num_attention_heads=1",
    "data.max_length=12",
    "trainer.max_epochs=2",
    "trainer.warmup_steps=1",
    "trainer.precision=float32",
]
TEXT = {
    "data.row_length": 128,
    "data.max_length": 100,
    "trainer.max_epochs": 1,
    "trainer.precision": "float32",
    "trainer.warmup_steps": 0,
    "trainer.sample_steps": 0,
    "model.tuning": {"name": "lora", "rank": 2, "alpha": 4.0},
}
RATING = "data.events={features: [{name: rating, column: rating}]}"


@dataclass(frozen=True)
class World:
    """The paths of everything that verbs read."""

    log: Path
    items: Path
    data: Path
    run: Path
    event_run: Path
    index: Path
    pairs: Path
    reference_cache: Path
    teacher_cache: Path
    lists: Path
    evaluation: Path
    texts: Path
    language: Path
    text_run: Path
    onnx: Path
    stores: Path
    users: Path


def build_world(folder: Path) -> World:
    """Make the world in an empty folder; a few seconds."""
    tables = ("items", "pairs", "reference_cache", "lists")
    paths = {name: folder / name for name in World.__annotations__}
    paths |= {name: folder / f"{name}.parquet" for name in tables}
    world = World(**paths | {"log": folder / "log.csv", "texts": folder / "texts.jsonl"})
    generator = np.random.default_rng(0)
    rows = [
        {"user_id": f"u{user}", "item_id": f"i{item}", "rating": int(generator.integers(1, 6)),
         "timestamp": 1_600_000_000 + 1000 * place + user}
        for user in range(NUM_USERS)
        for place, item in enumerate(generator.permutation(NUM_ITEMS)[: 5 + user % 6])
    ]  # fmt: skip
    pl.DataFrame(rows).write_csv(world.log)
    items = {"item_id": [f"i{item}" for item in range(NUM_ITEMS)]}
    items |= {"title": [f"Film {item}" for item in range(NUM_ITEMS)]}
    items |= {"genres": [["a", "b"][: 1 + item % 2] for item in range(NUM_ITEMS)]}
    items |= {"year": list(range(1990, 1990 + NUM_ITEMS))}
    pl.DataFrame(items).write_parquet(world.items)
    seqrec.prepare(world.log, out=world.data, items=world.items)
    seqrec.train("sft", data=world.data, out=world.run, overrides=SMALL)
    seqrec.train("sft", data=world.data, out=world.event_run, overrides=[*SMALL, RATING])
    seqrec.export(world.run, to="faiss", out=world.index)
    seqrec.pairs(data=world.data, out=world.pairs, source="ratings", horizon=3)
    seqrec.cache(world.run, data=world.data, out=world.reference_cache, pairs=world.pairs)
    seqrec.cache(world.run, data=world.data, out=world.teacher_cache, k=3)
    seqrec.recommend(world.run, data=world.data, out=world.lists, k=5)
    seqrec.evaluate([world.run, "popularity"], data=world.data, out=world.evaluation)
    seqrec.export(world.run, to="onnx", out=world.onnx)
    world.stores.mkdir()
    for kind in ("lancedb", "duckdb"):
        seqrec.export(world.run, to=kind, url=str(world.stores / kind))
    store = open_user_store(str(world.users))
    store.add("u1", ["i1", {"item_id": "i2", "rating": 3}])
    store.close()
    _teach_language(world)
    return world


def _teach_language(world: World) -> None:
    """Write texts and a tiny language model, and train an adapter on it."""
    lines = [json.dumps({"text": f"a film about the sea, part {n}"}) + "\n" for n in range(12)]
    world.texts.write_text("".join(lines), encoding="utf-8")
    save_tiny_llama(world.language)
    seqrec.train(
        "text-sft",
        data=world.texts,
        out=world.text_run,
        overrides=TEXT | {"model.backbone": str(world.language)},
    )
