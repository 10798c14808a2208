"""Subjects of what is exported, served or added: each makes one bad input and reads it."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import seqrec
from seqrec.jobs.served_folders import load_model
from seqrec.onnx.folder import MANIFEST_FILE, open_onnx
from seqrec.serving.settings import ServerSettings, read_token
from seqrec.serving.user_stores.opening import open_user_store
from tests.campaigns.mutators import (
    hostile,
    mutate_value,
    pick,
    rewrite_bytes,
    rewrite_json,
    rewrite_table,
)
from tests.campaigns.watchdog import Subject
from tests.campaigns.world import World

Generator = np.random.Generator

SETTINGS = {
    "host": "127.0.0.1", "port": 0, "batch_size": 4, "queue_size": 8, "timeout": 1.0,
    "max_body_kb": 64, "drain": 0.1, "cors": ["https://example.org"], "split": {"run": 0.5},
    "retrieval": "flat", "engine": "torch",
}  # fmt: skip
"""Arguments of ``serve``."""
NEW_ITEMS = [{"item_id": f"n{n}", "title": f"Film {n}", "genres": ["a"], "year": 1990 + n}
             for n in range(5)]  # fmt: skip


class PlaceSubjects:
    """One method a kind; all read the same world, which none changes."""

    def __init__(self, world: World) -> None:
        self.world = world

    def by_kind(self) -> dict[str, Subject]:
        """Return the subjects by the kind of their input."""
        kinds: dict[str, Callable[[Generator, Path], Any]] = {
            "store": self.read_store,
            "store's address": self.read_address,
            "onnx": self.read_onnx,
            "new items": self.read_new_items,
            "served settings": self.read_settings,
            "pointer or token": self.read_served_files,
            "user store": self.read_user_store,
        }
        return kinds

    def read_store(self, generator: Generator, folder: Path) -> None:
        """Mutate a file of an embedded store, and search it."""
        kind = pick(generator, ["lancedb", "duckdb"])
        there = self.world.stores / kind
        copied = folder / f"store.{kind}"
        (shutil.copytree if there.is_dir() else shutil.copyfile)(there, copied)
        files = (
            [copied] if copied.is_file() else sorted(f for f in copied.rglob("*") if f.is_file())
        )
        rewrite_bytes(generator, pick(generator, files))
        seqrec.recommend(self.world.run, history=["i1", "i2"], k=3, index=f"{kind}:{copied}")

    def read_address(self, generator: Generator, folder: Path) -> None:
        value = hostile(generator)
        text = value if isinstance(value, str) else json.dumps(value)
        start = pick(generator, ["lancedb:", "duckdb:", "lancedb", "", "redis:", "faiss:", "#"])
        end = pick(generator, ["", "#", "#items", f"#{text}"])
        seqrec.recommend(self.world.run, history=["i1"], k=3, index=f"{start}{text}{end}")

    def read_onnx(self, generator: Generator, folder: Path) -> None:
        """Mutate a file of an export, in most cases with the checksum that belongs to it."""
        there = Path(shutil.copytree(self.world.onnx, folder / "onnx"))
        files = [file for file in there.rglob("*") if file.is_file()]
        graphs = [file for file in files if file.suffix == ".onnx"]
        target = pick(generator, [*files, *graphs * 3])
        rewrite = {".json": rewrite_json, ".parquet": rewrite_table}
        rewrite.get(target.suffix, rewrite_bytes)(generator, target)
        if target in graphs and generator.random() < 0.8:
            manifest = json.loads((there / MANIFEST_FILE).read_text())
            manifest["graph"][target.name] = hashlib.sha256(target.read_bytes()).hexdigest()
            (there / MANIFEST_FILE).write_text(json.dumps(manifest))
        open_onnx(there).recommend([["i1", "i2"]], k=3)

    def read_new_items(self, generator: Generator, folder: Path) -> None:
        kind = pick(generator, ["parquet", "csv", "ndjson"])
        file, table = folder / f"items.{kind}", pl.DataFrame(NEW_ITEMS)
        if kind == "parquet":
            table.write_parquet(file)
            rewrite_table(generator, file)
        else:
            flat = table if kind == "ndjson" else table.drop("genres")
            (flat.write_ndjson if kind == "ndjson" else flat.write_csv)(file)
            rewrite_bytes(generator, file)
        rows = pick(generator, ["random", "random", "neighbours", None])
        seqrec.extend(self.world.run, items=file, out=folder / "extended", rows=rows)

    def read_settings(self, generator: Generator, folder: Path) -> None:
        """Start a server with bad settings; good ones are checked and the port stays closed."""
        settings = mutate_value(generator, SETTINGS)
        values = settings if isinstance(settings, dict) else {"host": settings}
        known = {name: value for name, value in values.items() if name in SETTINGS}
        seqrec.serve([f"run={folder / 'none'}"], **known)

    def read_served_files(self, generator: Generator, folder: Path) -> None:
        file = folder / "file"
        file.write_bytes(pick(generator, [bytes(self.world.run), b"a" * 40, b"\n", b""]))
        rewrite_bytes(generator, file)
        if generator.random() < 0.5:
            ServerSettings(token=read_token(file)).check()
        else:
            load_model("run", file, None, "flat")

    def read_user_store(self, generator: Generator, folder: Path) -> None:
        there = folder / "users.sqlite"
        shutil.copyfile(self.world.users, there)
        rewrite_bytes(generator, there)
        store = open_user_store(str(there))
        try:
            store.read("u1")
        finally:
            store.close()
