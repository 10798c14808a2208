"""``report.html``: what an evaluation's page shows beside its result."""

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch

import seqrec
from seqrec.builders.named_models import seed_folders
from seqrec.config.yaml_text import MAX_BYTES
from seqrec.files import read_text
from seqrec.reports.trained_models import TrainedModel
from seqrec.runs.folder import CONFIG_FILE, commit
from seqrec.runs.judged_run import FIX, read_seed_run
from seqrec.runs.provenance import run_of

REPORT_FILE = "report.html"
COMMIT_LETTERS = 9


def trained_models(models: Mapping[str, str | Path]) -> list[TrainedModel]:
    """Return the trained systems with their runs.

    Only the configuration is known of a model folder that lies in no run folder.

    Args:
        models: the MODEL that each system was named by.
    """
    return [
        _trained_model(system, Path(model))
        for system, model in models.items()
        if Path(model).is_dir()
    ]


def _trained_model(system: str, folder: Path) -> TrainedModel:
    folder = run_of(folder)
    folders = seed_folders(folder) or {0: folder}
    runs = [read_seed_run(seed, run) for seed, run in folders.items()]
    first = next(iter(folders.values()))
    files = [first / name for name in (CONFIG_FILE, "config.json", "model/config.json")]
    file = next((file for file in files if file.is_file()), files[0])
    settings = read_text(file, FIX, MAX_BYTES)
    return TrainedModel(system, settings, [run for run in runs if run is not None])


def environment() -> dict[str, str]:
    """Return versions, machine and date, by name."""
    from_commit = commit()
    found = {
        "seqrec": seqrec.__version__
        + (f", commit {from_commit[:COMMIT_LETTERS]}" if from_commit else ""),
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
    }
    if torch.cuda.is_available():
        found["GPU"] = torch.cuda.get_device_name()
    return found | {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")}
