"""Subjects of what people write in words, and of language models: each reads one bad input."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import seqrec
from seqrec.config.load import load_recipe
from seqrec.runs.recipe import OBJECTIVES
from seqrec.tokens.streams.base import StreamPosition
from tests.campaigns.mutators import (
    mutate_bytes,
    mutate_value,
    pick,
    rewrite_bytes,
    rewrite_json,
    rewrite_table,
)
from tests.campaigns.watchdog import Subject
from tests.campaigns.world import World

Generator = np.random.Generator

RECORDS: dict[str, list[dict[str, Any]]] = {
    "text-sft": [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]},
        {"text": "a film about the sea"},
        {"prompt": "Say", "completion": " it", "weight": 0.5},
    ],
    "text-dpo": [{"prompt": "Say red", "chosen": " red", "rejected": " blue"}],
    "text-kto": [{"prompt": "Say red", "completion": " red", "label": True}],
}
"""A recipe's records, of which the files of a case are made."""
REQUESTS = [
    "a comedy like Film 3 from the 90s", "not horror, under 2 hours", "Film 1 but newer",
    "a or b between 1990 and 1995", 'like "Film 2" without a', "something sad",
]  # fmt: skip
CONDITIONS = [
    "genres contains 'a' AND year > 1990", "NOT (title = 'Film 1' OR year <= 1992)",
    "year in (1990, 1995)", "genres contains 'b'", "title != 'x' AND (year >= 1991)",
]  # fmt: skip


class LanguageSubjects:
    """One method a kind; all read the same world, which none changes."""

    def __init__(self, world: World) -> None:
        self.world = world

    def by_kind(self) -> dict[str, Subject]:
        """Return the subjects by the kind of their input."""
        kinds: dict[str, Callable[[Generator, Path], Any]] = {
            "texts": self.read_texts,
            "language model": self.read_language_model,
            "request in words": self.read_request,
            "condition": self.read_condition,
        }
        return kinds

    def read_texts(self, generator: Generator, folder: Path) -> None:
        recipe = pick(generator, list(RECORDS))
        records = [pick(generator, RECORDS[recipe]) for _ in range(12)]
        place = int(generator.integers(len(records)))
        records[place] = mutate_value(generator, records[place])
        kind = pick(generator, ["jsonl", "ndjson", "parquet"])
        file = folder / f"texts.{kind}"
        if kind == "parquet":
            pl.DataFrame(RECORDS[recipe][:1] * 12).write_parquet(file)
            rewrite_table(generator, file)
        else:
            text = "".join(json.dumps(record) + "\n" for record in records)
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
            if generator.random() < 0.5:
                rewrite_bytes(generator, file)
        self._learn(recipe, file, self.world.language)

    def read_language_model(self, generator: Generator, folder: Path) -> None:
        """Mutate a file of a language model, or of an adapter on it."""
        names = ["config.json", "config.json", "tokenizer.json", "tokenizer_config.json",
                 "model.safetensors", "chat_template.jinja"]  # fmt: skip
        if generator.random() < 0.4:
            there = Path(shutil.copytree(self.world.text_run / "adapter", folder / "adapter"))
            files = [there / "adapter_config.json", there / "adapter_model.safetensors"]
            self._rewrite(generator, pick(generator, files))
            self._learn("text-sft", self.world.texts, self.world.language, there)
            return
        there = Path(shutil.copytree(self.world.language, folder / "language"))
        files = [there / name for name in names if (there / name).exists()]
        self._rewrite(generator, pick(generator, files))
        self._learn("text-sft", self.world.texts, there)

    def read_request(self, generator: Generator, folder: Path) -> None:
        text = mutate_bytes(generator, pick(generator, REQUESTS).encode())
        words = text.decode("utf-8", "replace")
        seqrec.recommend(self.world.run, text=words, k=3)

    def read_condition(self, generator: Generator, folder: Path) -> None:
        text = mutate_bytes(generator, pick(generator, CONDITIONS).encode())
        where = text.decode("utf-8", "replace")
        seqrec.recommend(self.world.run, history=["i1", "i2"], k=3, where=where)

    def _rewrite(self, generator: Generator, file: Path) -> None:
        (rewrite_json if file.suffix == ".json" else rewrite_bytes)(generator, file)

    def _learn(self, name: str, texts: Path, backbone: Path, adapter: Path | None = None) -> None:
        """Build what a recipe trains, as ``train`` does, and compute the loss of one batch."""
        overrides = [f"model.backbone={backbone}", *TEXT_SETTINGS]
        if adapter is not None:
            overrides.append(f"model.adapter={adapter}")
        recipe = load_recipe(name, overrides)
        objective: Any = OBJECTIVES[recipe.objective.name]
        built = objective.build(objective.resolve(recipe), objective.open_data(texts))
        next(iter(built.train.batches(StreamPosition())))


TEXT_SETTINGS = ["data.row_length=128", "data.max_length=100", "data.held_out_share=0.2"]
