"""Who may import whom, where third parties live, and what a light import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import seqrec

ROOT = Path(seqrec.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

LOWER = {
    "errors": set(),
    "outputs": set(),
    "config": set(),
    "data": set(),
    "losses": set(),
    "retrieval": set(),
    "reports": set(),
    "tokens": {"data"},
    "models": {"losses", "tokens"},
    "ranking": {"data", "tokens", "models", "retrieval"},
    "baselines": {"data", "ranking"},
    "evaluation": {"data", "tokens", "retrieval", "ranking"},
    "training": {"data", "tokens", "losses", "models", "ranking", "evaluation"},
    "rl": {"data", "tokens", "losses", "models", "evaluation", "training"},
}
LOWER["builders"] = {*LOWER} - {"outputs", "retrieval", "reports"} | {"config"}
LOWER["objectives"] = {*LOWER} - {"baselines", "retrieval"}
LOWER["runs"] = {*LOWER, "seqrec"} - {"baselines", "ranking", "retrieval", "rl"}
LOWER["jobs"] = {*LOWER, "seqrec"} - {"losses", "models", "objectives", "rl", "training"}
LOWER["__main__"] = {"cli"}
LOWER["cli"] = {"config", "reports", "seqrec"}
LOWER["__init__"] = set(LOWER) - {"__init__"}

HOMES = {
    "typer": {"cli"},
    "yaml": {"config", "data", "runs", "cli"},
    "pydantic": {"config"},
    "polars": {"data"},
    "tokenizers": {"tokens"},
    "transformers": {"tokens", "models", "builders", "objectives"},
    "lightning": {"training"},
    "torchmetrics": {"evaluation", "training"},
    "faiss": {"retrieval"},
    "matplotlib": {"reports"},
    "scipy": {"baselines"},
    "implicit": {"baselines"},
    "optuna": {"builders", "runs"},
    "ray": {"rl"},
}
WITHOUT_TORCH = {"config", "data", "tokens", "reports", "cli", "errors"}


def room(file: Path) -> str:
    first = file.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imports(file: Path) -> set[str]:
    """Modules that a file imports anywhere, functions included."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
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
            allowed = {here, "errors", *LOWER[here]}
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
