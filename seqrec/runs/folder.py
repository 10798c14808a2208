"""A run folder: what it says of its run, and how one that was interrupted is told from another."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import seqrec
from seqrec.builders.named_models import seed_folders
from seqrec.builders.pretrained import KEY
from seqrec.builders.rewards import reward_folder
from seqrec.config.load import parse_recipe
from seqrec.config.objective import DistillationConfig, PreferenceConfig
from seqrec.config.recipe import Recipe
from seqrec.config.rl import ModelRewardConfig, RLConfig
from seqrec.data.caches.teacher import read_header
from seqrec.data.checksums import file_sha256
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models.folder import folder_fingerprint, model_folder
from seqrec.objectives.distillation import TEACHERS_KEY
from seqrec.objectives.preference import REFERENCE_KEY
from seqrec.outputs import METRICS_FILE

CONFIG_FILE = "config.yaml"
MADE_OF = (("model", "from_pretrained"), ("objective", "teachers"))
"""Settings that name models from which a run learns."""


def unfinished(out: Path) -> Path:
    """Where a run is worked on until it is whole."""
    return out.with_name(f"{out.name}.partial")


def resolved(recipe: Recipe, prepared: PreparedData) -> dict[str, Any]:
    """Every setting of the run, and where it comes from; itself a recipe."""
    provenance = {
        "version": seqrec.__version__,
        "commit": commit(),
        "data": str(prepared.path),
        "data_fingerprint": prepared.fingerprint,
        "catalog_fingerprint": prepared.catalog_fingerprint,
        **_made_from(recipe),
    }
    return {**recipe.model_dump(), "provenance": provenance}


def _made_from(recipe: Recipe) -> dict[str, Any]:
    """Fingerprints of the models and the files that the recipe names, if it names any.

    Of a cache of answers, what it was made of.
    """
    found: dict[str, Any] = {}
    if recipe.model.from_pretrained is not None:
        folder = model_folder(recipe.model.from_pretrained, KEY)
        found["start_fingerprint"] = folder_fingerprint(folder)
    for key in ("pairs", "labels"):
        named = getattr(recipe.data, key)
        if named is not None:
            if not Path(named).is_file():
                raise SeqRecError(f"data.{key}={named}: no such file")
            found[f"{key}_fingerprint"] = file_sha256(Path(named))
    match recipe.objective:
        case RLConfig(rewards=rewards):
            models = [reward for reward in rewards if isinstance(reward, ModelRewardConfig)]
            for reward in models:
                found[f"fingerprint_of {reward.path}"] = folder_fingerprint(reward_folder(reward))
        case DistillationConfig(teachers=teachers, cache=cache):
            for path in teachers:
                folder = model_folder(path, TEACHERS_KEY)
                found[f"fingerprint_of {path}"] = folder_fingerprint(folder)
            if cache is not None:
                found["cache"] = read_header(Path(cache))
        case PreferenceConfig(reference=str(path)):
            found["reference_fingerprint"] = (
                file_sha256(Path(path))
                if Path(path).is_file()
                else folder_fingerprint(model_folder(path, REFERENCE_KEY))
            )
    return found


def start_folder(folder: Path, config: dict[str, Any], resume: bool, overwrite: bool) -> None:
    """Make the folder to work in, or see that an interrupted run there is the one to resume."""
    if resume:
        check_same(folder / CONFIG_FILE, config)
        return
    refuse_unfinished(folder, overwrite)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(config, sort_keys=False))


def refuse_unfinished(folder: Path, overwrite: bool) -> None:
    """Refuse to begin anew where an unfinished run is, unless asked to."""
    if folder.exists() and not overwrite:
        raise SeqRecError(
            f"{folder}: an unfinished run is there; add --resume to go on with it, or "
            "--overwrite to start anew"
        )


def finished(out: Path, config: dict[str, Any]) -> dict[str, Any]:
    """What ``--resume`` answers where there is nothing to resume: the finished run's result."""
    if not (out / METRICS_FILE).exists():
        raise SeqRecError(f"--resume: {out}.partial does not exist; start without --resume")
    check_same(out / CONFIG_FILE, config)
    metrics = json.loads((out / METRICS_FILE).read_text())
    return {"run": str(out), "model": str(out / "model"), **metrics, "out": str(out)}


def check_same(file: Path, config: dict[str, Any]) -> None:
    """Refuse to resume a run under another recipe or on other data."""
    try:
        before = yaml.safe_load(file.read_text())
        before["provenance"]["data_fingerprint"]
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise SeqRecError(f"{file}: cannot be read; add --overwrite to start anew") from error
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
    """The blocks with the defaults of settings that seqrec learned since they were written."""
    try:
        blocks = parse_recipe(before, file).model_dump()
    except SeqRecError:  # a setting that is gone: what was written is what is compared
        return {}
    answer: dict[str, Any] = json.loads(json.dumps(blocks))
    return answer


def commit() -> str | None:
    """The commit of the checkout that seqrec runs from, if it runs from one."""
    root = Path(seqrec.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def run_of(model: str | Path) -> Path:
    """The run folder that MODEL means: that in which a model folder lies, or else itself."""
    folder = Path(model)
    is_part = folder.name == "model" and (folder.parent / CONFIG_FILE).is_file()
    return folder.parent if is_part else folder


def trained_elsewhere(models: Sequence[str | Path], prepared: PreparedData) -> list[str]:
    """A note of every run that learned from another preparation than the one it is judged on.

    Its start and its teachers count, where their run folders are still there, or were when they
    wrote their answers to a cache. Nothing is known of lone model folders.
    """
    notes = []
    for model in models:
        for folder in list(seed_folders(model).values()) or [run_of(model)]:
            others = [run for run, of in learned_from(folder) if of != prepared.fingerprint]
            if others:
                whose = "" if others[0] == folder else f", by way of {others[0]},"
                notes.append(
                    f"{folder}: learned{whose} from other data than {prepared.path} or from "
                    "another split, and may have met what it is asked for here"
                )
    return notes


def learned_from(run: Path) -> list[tuple[Path, str]]:
    """The data's fingerprint of a run, and of the runs that it started from or was taught by.

    Of those who made a cache that it learned from, the cache says it.
    """
    try:
        config = yaml.safe_load((run / CONFIG_FILE).read_text())
        provenance = config["provenance"]
        found = [(run, provenance["data_fingerprint"])]
        start, teachers = (config[block].get(key) for block, key in MADE_OF)
        for fingerprint in provenance.get("cache", {}).get("learned_from", []):
            found.append((Path(config["objective"]["cache"]), fingerprint))
    except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError):
        return []
    for model in (start, *(teachers or [])):
        if model is not None:
            found += learned_from(run_of(model))
    return found


def selection_of(models: Sequence[str | Path]) -> list[str]:
    """How trained models were chosen, and of how many seeds; nothing of lone model folders."""
    metrics, num_seeds = set(), set()
    for model in models:
        folders = list(seed_folders(model).values()) or [run_of(model)]
        files = [folder / METRICS_FILE for folder in folders]
        if all(file.is_file() for file in files):
            found = [json.loads(file.read_text()) for file in files]
            metrics |= {of.get("selection_metric") for of in found if of.get("validation")}
            num_seeds.add(len(folders))
    chosen = sorted(filter(None, metrics))
    parts = [f"models chosen by validation {', '.join(chosen)}"] if chosen else []
    return [*parts, f"seeds: {', '.join(map(str, sorted(num_seeds)))}"] if num_seeds else parts
