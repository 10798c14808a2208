"""A run folder: its configuration, and the checks that a run may start or resume in it."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import seqrec
from seqrec.config.load import parse_recipe
from seqrec.config.recipe import Recipe
from seqrec.config.text_recipe import TextRecipe
from seqrec.config.yaml_text import dump_yaml
from seqrec.errors import SeqRecError
from seqrec.outputs import METRICS_FILE, find_foreign

CONFIG_FILE = "config.yaml"
PARTIAL = ".partial"
"""End of the name of a folder that is worked on."""
FINGERPRINT_OF = "fingerprint_of "
"""Start of a key of the provenance that a path follows."""
FREE_KEYS = frozenset(
    {
        "provenance.version",
        "provenance.commit",
        "provenance.data",
        "trainer.accelerator",
        "trainer.devices",
        "trainer.checkpoint_minutes",
        "trainer.tracker",
    }
)
"""Settings that may differ when a run is resumed."""
FREE_EPOCHS = {
    "trainer.max_epochs": " (only a run whose trainer.schedule is constant, without "
    "epochs_without_dropout and refit, may get more epochs)"
}
"""Advice beside a setting that differs."""
SEARCH_BLOCK = "search"
"""A block of searches, whose trials all have the same epochs and patience."""
NAMED_BY_CONTENT = {
    "model.from_pretrained": "start_fingerprint",
    "model.backbone": "backbone_fingerprint",
    "model.adapter": "adapter_fingerprint",
    "data.pairs": "pairs_fingerprint",
    "data.validation": "validation_fingerprint",
    "objective.teacher": "teacher_fingerprint",
    "data.labels": "labels_fingerprint",
    "objective.reference": "reference_fingerprint",
    "objective.cache": "cache",
}
"""Settings that name a model or a file, and the fingerprint in the provenance."""


def unfinished(out: Path) -> Path:
    """Return the folder in which a run is worked on until it is complete."""
    return out.with_name(f"{out.name}{PARTIAL}")


def get_run_name(folder: Path) -> str:
    """Return the name of the run in a folder, whether it is complete or not."""
    return folder.name.removesuffix(PARTIAL)


def run_config(
    recipe: Recipe | TextRecipe, data: Mapping[str, Any], sources: Mapping[str, Any]
) -> dict[str, Any]:
    """Return every setting of a run and the fingerprints of its inputs; itself a recipe.

    Args:
        recipe: of the run.
        data: path and fingerprints of the data.
        sources: fingerprints of the models and files that the recipe names.
    """
    provenance = {
        "version": seqrec.__version__,
        "commit": commit(),
        **data,
        **sources,
    }
    return {**recipe.model_dump(), "provenance": provenance}


def start_folder(folder: Path, config: dict[str, Any], resume: bool, overwrite: bool) -> None:
    """Make the folder of a run, or check that the interrupted run in it is the one to resume."""
    if resume:
        check_same(folder / CONFIG_FILE, config, is_finished=False)
    else:
        refuse_unfinished(folder, overwrite)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    aside = folder / f"{CONFIG_FILE}.new"
    aside.write_text(dump_yaml(config), encoding="utf-8")
    aside.replace(folder / CONFIG_FILE)


def refuse_unfinished(folder: Path, overwrite: bool) -> None:
    """Refuse to start where an unfinished run is, without ``overwrite``."""
    if folder.exists() and not overwrite:
        raise SeqRecError(
            f"{folder}: an unfinished run is there; add --resume to continue it, or "
            "--overwrite to start again"
        )
    if folder.exists():
        refuse_foreign(folder)


def refuse_foreign(folder: Path) -> None:
    """Refuse to delete a folder of unfinished work that holds files which seqrec did not write."""
    foreign = folder if folder.is_file() else find_foreign(folder, needs_header=False)
    if foreign is not None:
        raise SeqRecError(f"{folder}: is in the way and holds {foreign.name}; move it")


def check_finished(out: Path, config: dict[str, Any]) -> None:
    """Refuse ``--resume`` where there is neither an unfinished run nor the same one, finished."""
    if not (out / METRICS_FILE).exists():
        raise SeqRecError(f"--resume: {out}.partial does not exist; start without --resume")
    check_same(out / CONFIG_FILE, config, is_finished=True)


def has_fewer_epochs(out: Path, config: dict[str, Any]) -> bool:
    """Return whether ``out`` holds the run of a configuration, finished with fewer epochs."""
    if not (out / METRICS_FILE).exists():
        return False
    try:
        check_same(out / CONFIG_FILE, config, is_finished=False)
        before = yaml.safe_load((out / CONFIG_FILE).read_text(encoding="utf-8"))
    except SeqRecError:
        return False
    num_epochs = (before.get("trainer") or {}).get("max_epochs", 0)
    return bool(num_epochs < config["trainer"]["max_epochs"])


def reopen(out: Path, folder: Path) -> None:
    """Copy a finished run to the folder in which it is worked on; ``out`` stays as it is."""
    aside = out.with_name(f".{out.name}.partial-{os.getpid()}")
    shutil.copytree(out, aside)
    (aside / METRICS_FILE).unlink()
    aside.rename(folder)


def check_same(file: Path, config: dict[str, Any], *, is_finished: bool) -> None:
    """Refuse to resume a run under another recipe or on other data.

    Models and files are compared by their fingerprints, not by their paths. Settings that do not
    change the result may differ, and a run that goes on may get more epochs and other patience.

    Raises:
        SeqRecError: the key that differs.
    """
    if not is_finished and not file.exists():
        return  # killed before it was written; nothing else is in the folder
    try:
        before = yaml.safe_load(file.read_text(encoding="utf-8"))
        before["provenance"]["data_fingerprint"]
    except (OSError, ValueError, yaml.YAMLError, TypeError, KeyError) as error:
        raise SeqRecError(f"{file}: cannot be read; add --overwrite to start again") from error
    before |= _with_new_settings(before, file)
    now = json.loads(json.dumps(config))
    before["provenance"] = now["provenance"] | before["provenance"]  # older versions wrote fewer
    may_differ = set(FREE_KEYS)
    if not is_finished and SEARCH_BLOCK not in now:
        may_differ.add("trainer.patience")
        if _may_grow(before, now):
            may_differ.add("trainer.max_epochs")
    old, new = _settings(before), _settings(now)
    for key in sorted({**old, **new}, key=_is_setting):
        if key.startswith(f"provenance.{FINGERPRINT_OF}") and key not in new:
            continue  # the model has another path now, and is compared as a setting
        if key not in may_differ and old.get(key) != new.get(key):
            raise SeqRecError(
                f"--resume: {key} differs from the run in {file.parent}; "
                f"give the same recipe and data, or --overwrite{FREE_EPOCHS.get(key, '')}"
            )


def _is_setting(key: str) -> bool:
    """Return True for settings, which are named if no fingerprint under the same path differs."""
    return not key.startswith("provenance.")


def _may_grow(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Return True if only the number of epochs grows, on which no earlier epoch depends."""
    trainer = now["trainer"]
    depends = trainer.get("epochs_without_dropout") or trainer.get("refit")
    is_free = trainer["schedule"] == "constant" and not depends
    return is_free and trainer["max_epochs"] >= before["trainer"]["max_epochs"]


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that count, by ``block.key``, with models and files by their content."""
    settings = {
        f"{block}.{key}": value
        for block, values in config.items()
        for key, value in (values or {}).items()
    }
    provenance = config["provenance"]
    for key, source in NAMED_BY_CONTENT.items():
        if settings.get(key) is not None and source in provenance:
            settings[key] = "by content"
    by_path = {
        key.removeprefix(FINGERPRINT_OF): value
        for key, value in provenance.items()
        if key.startswith(FINGERPRINT_OF)
    }
    for key in ("objective.teachers", "objective.rewards"):
        if key in settings:
            settings[key] = _replace_paths(settings[key], by_path)
    return settings


def _replace_paths(value: Any, by_path: dict[str, str]) -> Any:
    """Return a setting with the fingerprint in place of each path that has one."""
    if isinstance(value, list):
        return [_replace_paths(one, by_path) for one in value]
    if isinstance(value, dict):
        return {key: _replace_paths(one, by_path) for key, one in value.items()}
    return by_path.get(value, value) if isinstance(value, str) else value


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
