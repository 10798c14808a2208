"""The subjects of the mutations: each makes one bad input and reads it as a verb does."""

import contextlib
import hashlib
import io
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

import seqrec
from seqrec.cli import main as command_line
from seqrec.config.load import list_shipped_recipes, load_recipe, load_search
from seqrec.data.caches.reference import read_reference_cache
from seqrec.data.caches.teacher import read_teacher_cache
from seqrec.data.feedback.labels import read_labels
from seqrec.data.feedback.pairs_file import read_pairs
from seqrec.data.manifest import manifest_sha256
from seqrec.data.prepared import PreparedData
from seqrec.data.recommendations import read_recommendations
from seqrec.errors import SeqRecError
from seqrec.reports.trained_models import model_parts
from seqrec.runs.evaluation_folder import check_same_queries, read_system, shared_metrics
from seqrec.runs.history import trained_models
from seqrec.runs.provenance import selection_of, trained_elsewhere
from tests.campaigns.language_subjects import LanguageSubjects
from tests.campaigns.mutators import (
    hostile,
    mutate_bytes,
    mutate_table,
    mutate_value,
    pick,
    rewrite_bytes,
    rewrite_json,
    rewrite_table,
)
from tests.campaigns.place_subjects import PlaceSubjects
from tests.campaigns.watchdog import MAX_LETTERS, Subject
from tests.campaigns.world import World

Generator = np.random.Generator

OPTIONS = ["--k", "--memory-mb", "--condition", "--likelihood", "--split", "--index", "--data",
           "--out", "--plan", "--keep-seen", "--json", "--seeds", "--metric", "--x"]  # fmt: skip
TEXTS = ["", "0", "-1", "1e400", "nan", "inf", "9" * 400, "x", "x" * 5000, "rating=5", "=",
         "a=b=c", "[" * 5000, "/dev/zero", "/dev/null", "/", "\x7f", "é", "1,2,", "1:30", "test",
         "all", "ndcg@10", "ndcg@0", "@", "../..", "popularity", "item-knn:x=1", "ease:l2=-1",
         "item-knn:" + "a=1," * 500]  # fmt: skip
SEARCH = {
    "trainer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "model.hidden_size": [16, 32],
}


class Subjects:
    """One method a kind; all read the same world, which none changes."""

    def __init__(self, world: World) -> None:
        self.world = world
        logging.getLogger("seqrec").setLevel(logging.ERROR)
        shipped = (yaml.safe_load(path.read_text()) for path in list_shipped_recipes().values())
        self.recipes: list[Any] = list(shipped)
        self.prepared = PreparedData.open(world.data)
        self.histories = self.prepared.histories(["rating"])

    def by_kind(self) -> dict[str, Subject]:
        """Return the subjects by the kind of their input."""
        kinds: dict[str, Callable[[Generator, Path], Any]] = {
            "recipe": self.read_recipe,
            "override": self.read_override,
            "option": self.read_options,
            "search": self.read_search,
            "index": self.read_index,
            "model": self.read_model,
            "prepared": self.read_prepared,
            "judged run": self.read_judged_run,
            "evaluation": self.read_evaluation,
            "cache": self.read_cache,
            "pairs": self.read_pairs,
            "labels": self.read_labels,
            "annotations": self.read_annotations,
            "item file": self.read_item_file,
            "history": self.read_history,
            "recommendations": self.read_recommendations,
        }
        return kinds

    def read_recipe(self, generator: Generator, folder: Path) -> None:
        recipe = pick(generator, self.recipes)
        text = yaml.safe_dump(mutate_value(generator, recipe), sort_keys=False)
        content = text.encode("utf-8", "surrogatepass")
        if generator.random() < 0.4:
            content = mutate_bytes(generator, content)
        (folder / "recipe.yaml").write_bytes(content)
        load_recipe(folder / "recipe.yaml")

    def read_override(self, generator: Generator, folder: Path) -> None:
        paths = list(_paths(pick(generator, self.recipes)))
        key = pick(generator, paths + ["model.from_pretrained", "data.events", "model.content"])
        if generator.random() < 0.3:
            key = mutate_bytes(generator, key.encode()).decode("utf-8", "replace")
        value = hostile(generator)
        text = value if isinstance(value, str) else json.dumps(value)
        separator = "=" if generator.random() < 0.9 else ""
        load_recipe(pick(generator, list(list_shipped_recipes())), [key + separator + text])

    def read_search(self, generator: Generator, folder: Path) -> None:
        text = yaml.safe_dump({"search": mutate_value(generator, SEARCH)})
        content = text.encode("utf-8", "surrogatepass")
        if generator.random() < 0.4:
            content = mutate_bytes(generator, content)
        (folder / "search.yaml").write_bytes(content)
        load_search("sft", [], folder / "search.yaml")

    def read_options(self, generator: Generator, folder: Path) -> None:
        world = self.world
        start = [["recommend", world.run, "--history", "i1,i2"], ["recommend", "popularity"],
                 ["evaluate", "popularity", "--data", world.data],
                 ["train", "sft", "--data", world.data, "--dry-run"],
                 ["export", world.run, "--to", "numpy", "--out", folder / "export"]]  # fmt: skip
        arguments = list(map(str, pick(generator, start)))
        for _ in range(int(generator.integers(1, 4))):
            arguments.append(pick(generator, OPTIONS))
            if generator.random() < 0.9:
                arguments.append(pick(generator, TEXTS))
        call(arguments)

    def read_index(self, generator: Generator, folder: Path) -> None:
        kind = pick(generator, ["flat", "hnsw", "ivf"])
        there = shutil.copytree(self.world.index / "items" / kind, folder / "index")
        target = there / pick(generator, ["index.faiss", "index.faiss", "index.json"])
        (rewrite_json if target.suffix == ".json" else rewrite_bytes)(generator, target)
        if target.suffix == ".faiss" and generator.random() < 0.6:
            description = json.loads((there / "index.json").read_text())
            description["sha256"] = hashlib.sha256(target.read_bytes()).hexdigest()
            (there / "index.json").write_text(json.dumps(description))
        seqrec.recommend(self.world.run, history=["i1", "i2"], k=3, index=there)

    def read_model(self, generator: Generator, folder: Path) -> None:
        run = pick(generator, [self.world.run, self.world.event_run])
        there = shutil.copytree(run / "model", folder / "model")
        names = ["config.json"] * 3 + ["tokenizer.json", "tokenizer_config.json"]
        target = there / pick(generator, [*names, "model.safetensors", "items.parquet"])
        rewrite = {".json": rewrite_json, ".parquet": rewrite_table}
        rewrite.get(target.suffix, rewrite_bytes)(generator, target)
        seqrec.recommend(there, history=["i1", {"item_id": "i2", "rating": 3}], k=3)

    def read_prepared(self, generator: Generator, folder: Path) -> None:
        there = shutil.copytree(self.world.data, folder / "data")
        manifest = json.loads((there / "manifest.json").read_text())
        name = pick(generator, [*manifest["files"], "manifest.json"])
        if name == "manifest.json":
            manifest = mutate_value(generator, manifest)
        else:
            rewrite_table(generator, there / name)
            with contextlib.suppress(BaseException):  # bytes that are no table have no rows
                content = (there / name).read_bytes()
                manifest["files"][name] = {
                    "rows": pl.scan_parquet(there / name).select(pl.len()).collect().item(),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
        if generator.random() < 0.9 and isinstance(manifest, dict):
            manifest["sha256"] = manifest_sha256(manifest)
        (there / "manifest.json").write_text(json.dumps(manifest))
        if generator.random() < 0.5:
            seqrec.recommend("popularity", data=there, out=folder / "lists.parquet", k=3)
        else:
            seqrec.evaluate(pick(generator, ["popularity", "markov"]), data=there)

    def read_judged_run(self, generator: Generator, folder: Path) -> None:
        run = folder / "run"
        run.mkdir()
        for name in ("metrics.json", "log.jsonl", "config.yaml"):
            shutil.copy(self.world.run / name, run / name)
        target = run / pick(generator, ["metrics.json", "log.jsonl", "config.yaml"])
        if target.suffix == ".jsonl" and generator.random() < 0.7:
            lines = mutate_value(generator, list(map(json.loads, target.read_text().splitlines())))
            lines = lines if isinstance(lines, list) else [lines]
            target.write_text("".join(json.dumps(line) + "\n" for line in lines))
        elif target.suffix == ".yaml" and generator.random() < 0.7:
            value = mutate_value(generator, yaml.safe_load(target.read_text()))
            target.write_text(yaml.safe_dump(value), encoding="utf-8", errors="surrogatepass")
        else:
            (rewrite_json if target.suffix == ".json" else rewrite_bytes)(generator, target)
        selection_of([run])
        trained_elsewhere([run], self.prepared)
        for model in trained_models({"run": run}):
            model_parts(model)

    def read_evaluation(self, generator: Generator, folder: Path) -> None:
        there = shutil.copytree(self.world.evaluation, folder / "evaluation")
        if generator.random() < 0.5:
            rewrite_json(generator, there / "metrics.json")
        else:
            rewrite_table(generator, there / "per_user.parquet")
        one, other = (read_system(path) for path in (there, self.world.evaluation))
        check_same_queries(one, other)
        shared_metrics(one, other)

    def read_cache(self, generator: Generator, folder: Path) -> None:
        world = self.world
        if generator.random() < 0.5:
            file = Path(shutil.copy(world.reference_cache, folder / "cache.parquet"))
            rewrite_bytes(generator, file)
            metadata = pl.read_parquet_metadata(world.reference_cache)
            if generator.random() < 0.8:
                table = mutate_table(generator, pl.read_parquet(world.reference_cache))
                table.write_parquet(file, metadata={"seqrec": metadata["seqrec"]})
            pairs = len(pl.read_parquet(world.reference_cache))
            read_reference_cache(file, json.loads(metadata["seqrec"]), pairs)
            return
        there = shutil.copytree(world.teacher_cache, folder / "cache")
        header = json.loads((there / "cache.json").read_text())
        if generator.random() < 0.5:
            rewrite_json(generator, there / "cache.json")
        else:
            rewrite_table(generator, there / "part-000000.parquet")
        read_teacher_cache(there, {"kind": header["kind"]})

    def read_pairs(self, generator: Generator, folder: Path) -> None:
        file = Path(shutil.copy(self.world.pairs, folder / "pairs.parquet"))
        rewrite_table(generator, file)
        read_pairs(file, self.prepared)

    def read_labels(self, generator: Generator, folder: Path) -> None:
        rows = {"user_id": [f"u{n}" for n in range(20)], "history": [["i1", "i2"]] * 20}
        table = pl.DataFrame(rows | {"item_id": ["i5"] * 20, "label": [0.5] * 20})
        file = folder / "labels.parquet"
        table.write_parquet(file)
        rewrite_table(generator, file)
        read_labels(file, self.prepared, self.histories)

    def read_annotations(self, generator: Generator, folder: Path) -> None:
        row = {"user_id": "u1", "history": ["i1", "i2"], "chosen": "i3", "rejected": ["i4", "i5"]}
        rows = [mutate_value(generator, row) if n == 7 else row for n in range(12)]
        kind = pick(generator, ["ndjson", "csv", "tsv"])
        if kind == "ndjson":
            text = "".join(json.dumps(row) + "\n" for row in rows)
        else:
            comma = "," if kind == "csv" else "\t"
            cell = '["i1", "i2"]'.replace('"', '""')
            text = comma.join(row) + "\n" + comma.join(["u1", f'"{cell}"', "i3", "i4"]) + "\n"
        content = text.encode("utf-8", "surrogatepass")
        if generator.random() < 0.6:
            content = mutate_bytes(generator, content)
        file = folder / f"annotations.{kind}"
        file.write_bytes(content)
        out = folder / "pairs.parquet"
        seqrec.pairs(data=self.world.data, out=out, source="file", file=file)

    def read_item_file(self, generator: Generator, folder: Path) -> None:
        kind = pick(generator, ["parquet", "csv", "ndjson"])
        file, table = folder / f"items.{kind}", pl.read_parquet(self.world.items)
        if kind == "parquet":
            table.write_parquet(file)
            rewrite_table(generator, file)
        else:
            flat = table if kind == "ndjson" else table.drop("genres")
            (flat.write_ndjson if kind == "ndjson" else flat.write_csv)(file)
            rewrite_bytes(generator, file)
        seqrec.prepare(self.world.log, out=folder / "data", items=file)

    def read_history(self, generator: Generator, folder: Path) -> None:
        events = ["i1", {"item_id": "i2", "rating": 4}, "i3", {"item_id": "i4", "rating": 1}]
        text = json.dumps(mutate_value(generator, events))
        if generator.random() < 0.4:
            text = mutate_bytes(generator, text.encode()).decode("utf-8", "replace")
        if generator.random() < 0.5:
            (folder / "history.json").write_text(text)
            text = str(folder / "history.json")
        text = text.replace("\0", "")  # no argument can hold it
        run = pick(generator, [self.world.run, self.world.event_run])
        call(["recommend", str(run), "--k", "3", f"--history={text}"])

    def read_recommendations(self, generator: Generator, folder: Path) -> None:
        file = Path(shutil.copy(self.world.lists, folder / "lists.parquet"))
        rewrite_table(generator, file)
        read_recommendations(file, self.prepared, 3)


def build_subjects(world: World) -> dict[str, Subject]:
    """Return the subjects by the kind of their input."""
    parts = (Subjects(world), LanguageSubjects(world), PlaceSubjects(world))
    return {kind: subject for part in parts for kind, subject in part.by_kind().items()}


def call(arguments: list[str]) -> None:
    """Run the command line; it must end with 0, or with 2 and one line of bounded length."""
    errors = io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try:
            command_line(arguments)
        except SystemExit as end:
            code = end.code
    lines = errors.getvalue().splitlines()
    assert code in (0, None, 2), (code, lines)
    if code == 2:
        assert lines and lines[-1].startswith("seqrec: ") and len(lines[-1]) <= MAX_LETTERS, lines
        assert "Traceback" not in errors.getvalue(), lines
        raise SeqRecError(lines[-1])


def _paths(value: Any, path: str = "") -> Any:
    """Yield the dotted paths of a recipe's keys."""
    for key, part in value.items():
        yield f"{path}{key}"
        if isinstance(part, dict):
            yield from _paths(part, f"{path}{key}.")
