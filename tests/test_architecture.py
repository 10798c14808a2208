"""The rules of imports: between rooms, of third parties, and what a light import may load."""

import ast
import re
import subprocess
import sys
from functools import cache, partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import seqrec
from seqrec.config.mixed import MixedRecipe
from seqrec.config.objective import DivergenceConfig, LossConfig, PreferenceLossConfig, SFTConfig
from seqrec.config.recipe import Recipe
from seqrec.config.rl import AlgorithmConfig
from seqrec.config.text_recipe import TextRecipe

ROOT = Path(seqrec.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

LOWER = {
    "errors": set(),
    "files": set(),
    "registration": set(),
    "arguments": set(),
    "outputs": set(),
    "config": set(),
    "data": set(),
    "losses": set(),
    "retrieval": set(),
    "reports": set(),
    "search": set(),
    "explanations": {"search"},
    "drafts": {"data", "explanations", "search"},
    "reviews": {"data", "drafts"},
    "tokens": {"data"},
    "models": {"losses", "tokens"},
    "ranking": {
        *("seqrec", "arguments", "data", "tokens", "models", "retrieval", "search"),
        "explanations",
    },
    "baselines": {"data", "ranking"},
    "onnx": {"tokens", "models", "retrieval", "ranking"},
    "evaluation": {"data", "tokens", "retrieval", "ranking"},
    "training": {"data", "tokens", "losses", "models", "ranking", "evaluation"},
    "rl": {"data", "tokens", "losses", "models", "evaluation", "training"},
}
LOWER["verification"] = {"data", "tokens", "models", "retrieval", "ranking"}
LOWER["serving"] = {"seqrec", "data", "ranking", "search"}
UPPER = {"verification", "serving"}
"""Rooms that only verbs use."""
LOWER["builders"] = {*LOWER} - {"outputs", "retrieval", "reports"} - UPPER | {"config"}
LOWER["objectives"] = {*LOWER} - {"baselines", "retrieval"} - UPPER
LOWER["runs"] = {*LOWER, "seqrec"} - {"baselines", "ranking", "retrieval", "rl"} - UPPER
LOWER["jobs"] = {*LOWER, "seqrec"} - {"losses", "models", "objectives", "rl", "training"}
LOWER["__main__"] = {"cli"}
LOWER["cli"] = {"config", "reports", "seqrec"}
LOWER["__init__"] = set(LOWER) - {"__init__"}

HOMES = {
    "typer": {"cli"},
    "yaml": {"config", "data", "runs"},
    "pydantic": {"config", "serving"},
    "fastapi": {"serving"},
    "starlette": {"serving"},
    "uvicorn": {"serving"},
    "uvloop": {"serving"},
    "httptools": {"serving"},
    "orjson": {"serving"},
    "prometheus_client": {"serving"},
    "httpx": {"serving"},
    "polars": {"data", "search"},
    "tokenizers": {"tokens"},
    "transformers": {"tokens", "models", "builders", "objectives", "verification"},
    "lightning": {"training"},
    "torchmetrics": {"evaluation", "training"},
    "faiss": {"retrieval"},
    "onnxruntime": {"onnx"},
    "lancedb": {"retrieval"},
    "duckdb": {"retrieval"},
    "psycopg": {"retrieval", "serving"},
    "pgvector": {"retrieval"},
    "qdrant_client": {"retrieval"},
    "qdrant_edge": {"retrieval"},
    "pymilvus": {"retrieval"},
    "chromadb": {"retrieval"},
    "matplotlib": {"reports"},
    "scipy": {"baselines"},
    "implicit": {"baselines"},
    "optuna": {"builders", "runs"},
    "peft": {"models"},
    "ray": {"rl"},
    "mlflow": {"training"},
    "jinja2": {"reports", "serving"},
    "huggingface_hub": {"models", "ranking", "reports"},
    "wandb": {"training"},
}
WITHOUT_TORCH = {"config", "data", "tokens", "reports", "cli", "errors", "files", "search"}
WITHOUT_TORCH |= {"drafts", "explanations", "reviews"}


def room(file: Path) -> str:
    """The folder or top-level module of ``seqrec`` to which a file belongs."""
    first = file.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imports(file: Path) -> set[str]:
    """The names that a file imports at any place, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_imports_only_what_its_room_may(file):
    here = room(file)
    for name in imports(file):
        top, *rest = name.split(".")
        if top == "seqrec":
            there = rest[0] if rest and (ROOT / rest[0]).with_suffix(".py").exists() else "seqrec"
            there = rest[0] if rest and (ROOT / rest[0]).is_dir() else there
            allowed = {here, "errors", "files", *LOWER[here]}
            assert there in allowed, f"{here} may not import {name}"
        if top in HOMES:
            assert here in HOMES[top], f"{top} has no home in {here}"
        if top == "torch":
            assert here not in WITHOUT_TORCH, f"{here} does without torch"


def test_no_file_hides_a_cycle_or_is_called_utils():
    for file in FILES:
        assert file.stem not in ("utils", "common", "helpers")
        assert "TYPE_CHECKING" not in file.read_text()


def loaded_by(code: str) -> set[str]:
    """Top-level names of the modules that are loaded after ``code`` in a fresh process."""
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    command = [sys.executable, "-c", script]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name.split(".")[0] for name in output.split()}


HEAVY = {"torch", "transformers", "lightning", "polars", "pyarrow", "faiss", "matplotlib", "numpy"}


@pytest.mark.parametrize(
    "code",
    [
        "import seqrec; dir(seqrec)",
        "import seqrec.cli, typer.main; typer.main.get_command(seqrec.cli.app)",
    ],
)
def test_importing_seqrec_or_its_command_line_is_light(code):
    assert not loaded_by(code) & HEAVY


def test_recipes_are_checked_without_torch():
    code = "from seqrec.config.load import load_recipe; load_recipe('sft')"
    assert not loaded_by(code) & (HEAVY | {"tokenizers"})


def test_every_public_name_resolves_and_an_unknown_one_does_not():
    for name in seqrec.__all__:
        assert getattr(seqrec, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        _ = seqrec.magic


@cache
def imported_files(file: Path) -> set[Path]:
    """Files of seqrec that a file imports; public names of seqrec lead to their home."""
    text, files = file.read_text(encoding="utf-8"), set()
    modules = {name for name in imports(file) if name.startswith("seqrec.")}
    modules |= {home for name, home in seqrec._HOMES.items() if f"seqrec.{name}(" in text}
    for module in modules:
        path = ROOT.joinpath(*module.split(".")[1:])
        choices = path.with_suffix(".py"), path.parent.with_suffix(".py"), path / "__init__.py"
        files |= {choice for choice in choices if choice.exists()} - {ROOT / "__init__.py"}
    return files


def paths_from(start: Path) -> dict[Path, list[Path]]:
    """The shortest path of imports from a file to every other one, breadth first."""
    paths, queue = {start: [start]}, [start]
    for file in queue:
        for there in sorted(imported_files(file)):
            if there not in paths:
                paths[there] = [*paths[file], there]
                queue.append(there)
    return paths


def selectable_losses() -> set[str]:
    """The modules of all loss functions that a recipe can select."""
    from seqrec.objectives.distillation import DistillationObjective, build_divergence
    from seqrec.objectives.preference import build_preference_loss
    from seqrec.objectives.reinforcement import build_algorithm
    from seqrec.objectives.sft import build_batch_loss

    def members(union):
        for config in get_args(get_args(union)[0]):
            yield config(name=get_args(config.model_fields["name"].annotation)[0])

    functions = []
    for loss in members(LossConfig):
        bound = build_batch_loss(SFTConfig(name="sft", loss=loss), np.ones(5, dtype=np.int64))
        functions += [bound.keywords["loss"], *filter(None, [bound.keywords.get("sampler")])]
    functions += map(build_preference_loss, members(PreferenceLossConfig))
    functions += map(build_divergence, members(DivergenceConfig))
    functions.append(sys.modules[DistillationObjective.__module__].top_k_divergence)
    for algorithm in map(build_algorithm, members(AlgorithmConfig)):
        functions += [algorithm.advantages, algorithm.loss]
    plain = [one.func if isinstance(one, partial) else one for one in functions]
    modules = {getattr(one, "__module__", None) or type(one).__module__ for one in plain}
    return {module for module in modules if module.startswith("seqrec.losses.")}


def test_from_the_command_line_to_any_loss_in_five_files():
    cli = [file for file in FILES if room(file) == "cli" and "seqrec.train(" in file.read_text()]
    train = ROOT / "jobs" / "train.py"
    assert cli and all(train in imported_files(file) for file in cli)
    paths, losses = paths_from(train), selectable_losses()
    assert len(losses) >= 7
    for module in losses:
        path = paths[ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")]
        assert len(path) <= 4, " -> ".join(str(file.relative_to(ROOT)) for file in path)


def test_the_path_that_contributing_shows_is_one_of_imports():
    text = " ".join((ROOT.parent / "CONTRIBUTING.md").read_text().split())
    (chain,) = re.findall(r"`[\w/]+\.py`(?: -> `[\w/]+\.py`)+", text)
    files = [ROOT / name for name in re.findall(r"`([^`]+)`", chain)]
    assert len(files) <= 5 and room(files[0]) == "cli" and room(files[-1]) == "losses"
    for here, there in zip(files, files[1:], strict=False):
        assert there in imported_files(here), f"{here} does not import {there}"


def test_nothing_asks_which_objective_it_has():
    """Differences between objectives are methods and properties of theirs."""
    from seqrec.runs.recipe import OBJECTIVES

    recipes = Recipe, TextRecipe, MixedRecipe
    annotations = [recipe.model_fields["objective"].annotation for recipe in recipes]
    unions = [one for annotation in annotations for one in get_args(annotation) or (annotation,)]
    classes = {one.__name__ for one in (*unions, *OBJECTIVES.values())}
    assert len(classes) == 2 * len(OBJECTIVES)
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                asked = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
                assert not asked & classes, f"{file}: isinstance of {asked & classes}"
            if isinstance(node, ast.MatchClass):
                assert getattr(node.cls, "id", "") not in classes, f"{file}: match of an objective"
