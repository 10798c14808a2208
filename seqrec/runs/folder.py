"""A run folder: its configuration, and the checks that a run may start or resume in it."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import seqrec
from seqrec.builders.pretrained import START_KEY
from seqrec.config.load import parse_recipe
from seqrec.config.recipe import Recipe
from seqrec.config.yaml_text import dump_yaml
from seqrec.data.checksums import file_sha256
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models.folder import model_folder
from seqrec.models.weights import folder_fingerprint
from seqrec.outputs import METRICS_FILE

CONFIG_FILE = "config.yaml"


def unfinished(out: Path) -> Path:
    """Return the folder in which a run is worked on until it is complete."""
    return out.with_name(f"{out.name}.partial")


def run_config(
    recipe: Recipe, prepared: PreparedData, sources: Mapping[str, Any]
) -> dict[str, Any]:
    """Return every setting of a run and the fingerprints of its inputs; itself a recipe.

    Args:
        recipe: of the run.
        prepared: the data.
        sources: fingerprints of the models and files that the objective block names.

    Raises:
        SeqRecError: a model or file that the recipe names does not exist.
    """
    provenance = {
        "version": seqrec.__version__,
        "commit": commit(),
        "data": str(prepared.path),
        "data_fingerprint": prepared.fingerprint,
        "catalog_fingerprint": prepared.catalog_fingerprint,
        **_named_sources(recipe),
        **sources,
    }
    return {**recipe.model_dump(), "provenance": provenance}


def _named_sources(recipe: Recipe) -> dict[str, str]:
    """Fingerprints of the models and files that the model and data blocks name."""
    sources = {}
    if recipe.model.from_pretrained is not None:
        folder = model_folder(recipe.model.from_pretrained, START_KEY)
        sources["start_fingerprint"] = folder_fingerprint(folder)
    for key in ("pairs", "labels"):
        path = getattr(recipe.data, key)
        if path is not None:
            if not Path(path).is_file():
                raise SeqRecError(f"data.{key}={path}: no such file")
            sources[f"{key}_fingerprint"] = file_sha256(Path(path))
    return sources


def start_folder(folder: Path, config: dict[str, Any], resume: bool, overwrite: bool) -> None:
    """Make the folder of a run, or check that the interrupted run in it is the one to resume."""
    if resume:
        check_same(folder / CONFIG_FILE, config)
        return
    refuse_unfinished(folder, overwrite)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / CONFIG_FILE).write_text(dump_yaml(config))


def refuse_unfinished(folder: Path, overwrite: bool) -> None:
    """Refuse to start where an unfinished run is, without ``overwrite``."""
    if folder.exists() and not overwrite:
        raise SeqRecError(
            f"{folder}: an unfinished run is there; add --resume to continue it, or "
            "--overwrite to start again"
        )


def check_finished(out: Path, config: dict[str, Any]) -> None:
    """Refuse ``--resume`` where there is neither an unfinished run nor the same one, finished."""
    if not (out / METRICS_FILE).exists():
        raise SeqRecError(f"--resume: {out}.partial does not exist; start without --resume")
    check_same(out / CONFIG_FILE, config)


def check_same(file: Path, config: dict[str, Any]) -> None:
    """Refuse to resume a run under another recipe or on other data."""
    try:
        before = yaml.safe_load(file.read_text())
        before["provenance"]["data_fingerprint"]
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise SeqRecError(f"{file}: cannot be read; add --overwrite to start again") from error
    before |= _with_new_settings(before, file)
    now = json.loads(json.dumps(config))
    before["provenance"] = now["provenance"] | before["provenance"]  # older versions wrote fewer
    for old in (before["provenance"], now["provenance"]):
        for key in ("version", "commit", "data"):
            old.pop(key)
    for block in now:
        if before.get(block) != now[block]:
            old = before.get(block) or {}
            keys = [key for key in {**old, **now[block]} if old.get(key) != now[block].get(key)]
            raise SeqRecError(
                f"--resume: {block}.{keys[0]} differs from the run in {file.parent}; "
                "give the same recipe and data, or --overwrite"
            )


def _with_new_settings(before: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return a run's blocks with the defaults of settings that did not exist when it started."""
    try:
        blocks = parse_recipe(before, file).model_dump()
    except SeqRecError:  # a setting that no longer exists: the written blocks are compared
        return {}
    plain: dict[str, Any] = json.loads(json.dumps(blocks))
    return plain


def commit() -> str | None:
    """Return the commit of the checkout that seqrec runs from, or None outside one."""
    root = Path(seqrec.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
