"""Experiment trackers: the numbers of a run's log, repeated by Lightning's own loggers."""

import json
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from seqrec.errors import SeqRecError, first_line
from seqrec.files import read_json_object

PROJECT = "seqrec"
"""Name of the experiment or project under which a tracker lists the runs."""
TENSORBOARD_FOLDER = "tensorboard"
RUN_IDS_FILE = "trackers.json"
"""The ids of an unfinished run in its trackers, under which a resumed run goes on."""
PACKAGES = {
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "wandb": ("wandb",),
}

Build = Callable[[Path, str, str | None], Logger]
"""Takes the run folder, the run's name and its id of before, if it has one."""


@dataclass
class Tracker:
    """The loggers of a run, by the names of their trackers; it may have none."""

    loggers: Mapping[str, Any]
    """Lightning's ``Logger`` of each."""

    def log(self, values: Mapping[str, Any], step: int) -> None:
        """Repeat the finite numbers among values; texts and lists are left out.

        Args:
            values: by the names of the log, such as ``val/ndcg@10``.
            step: optimizer step or update.
        """
        numbers = {
            name: float(value)
            for name, value in values.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        for name, logger in self.loggers.items():
            logger.log_metrics(plain_names(numbers) if name == "mlflow" else numbers, step=step)

    def close(self, status: str) -> None:
        """End the run in every tracker: ``success`` or ``failed``."""
        for name, logger in self.loggers.items():
            logger.finalize(status)
            if name == "wandb":
                logger.experiment.finish(exit_code=0 if status == "success" else 1)


NO_TRACKER = Tracker({})


def plain_names(values: Mapping[str, float]) -> dict[str, float]:
    """Return numbers under names without ``@``, which MLflow refuses: ``val/ndcg_at_10``."""
    return {name.replace("@", "_at_"): value for name, value in values.items()}


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers whose packages are not installed.

    Raises:
        SeqRecError: the first of them, with what to install.
    """
    for name in names:
        if name not in BUILDERS:
            raise SeqRecError(
                f"trainer.tracker: {name} needs pillow below 13, against seqrec's constraints; "
                f"choose from {', '.join(BUILDERS)}"
            )
        if any(find_spec(package) is None for package in PACKAGES[name]):
            raise SeqRecError(
                f"trainer.tracker: {name} is not installed; pip install 'seqrec[{name}]'"
            )


def open_tracker(
    names: Sequence[str], folder: Path, run: str, parameters: Mapping[str, Any]
) -> Tracker:
    """Return the tracker of a run; a run that is resumed goes on in it.

    Args:
        names: of trackers.
        folder: the run folder.
        run: the run's name.
        parameters: settings of the run, of any depth.

    Raises:
        SeqRecError: a tracker that cannot be reached.
    """
    if not names:
        return NO_TRACKER
    check_trackers(names)
    file = folder / RUN_IDS_FILE
    ids = read_json_object(file, "start again with --overwrite") if file.exists() else {}
    loggers: dict[str, Logger] = {}
    for name in dict.fromkeys(names):
        try:
            logger = BUILDERS[name](folder, run, ids.get(name))
            if name not in ids:
                logger.log_hyperparams(dict(parameters))
            ids[name] = str(logger.version)
        except Exception as error:  # each tracker has errors of many classes
            raise SeqRecError(
                f"trainer.tracker: {name} cannot be reached: {first_line(error)}; see its own "
                "environment variables, or leave it out"
            ) from error
        loggers[name] = logger
    aside = file.with_name(f"{file.name}.new")
    aside.write_text(json.dumps(ids) + "\n", encoding="utf-8")
    aside.replace(file)
    return Tracker(loggers)


def _build_tensorboard(folder: Path, run: str, run_id: str | None) -> Logger:
    return TensorBoardLogger(folder, name="", version=TENSORBOARD_FOLDER, default_hp_metric=False)


def _build_mlflow(folder: Path, run: str, run_id: str | None) -> Logger:
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # an earlier logger of this process may have set another one
    uri = os.environ.get("MLFLOW_TRACKING_URI") or mlflow.get_tracking_uri()
    logger = MLFlowLogger(PROJECT, run_name=run, tracking_uri=uri, run_id=run_id)
    _ = logger.experiment  # makes the run, so that a store out of reach is an error now
    return logger


def _build_wandb(folder: Path, run: str, run_id: str | None) -> Logger:
    """Return the logger of Weights & Biases, offline unless its own variable says otherwise."""
    is_offline = os.environ.get("WANDB_MODE", "offline") == "offline"
    save_dir = os.environ.get("WANDB_DIR", ".")
    logger = WandbLogger(
        run, save_dir, id=run_id, project=PROJECT, offline=is_offline, resume="allow"
    )
    _ = logger.experiment
    return logger


BUILDERS: dict[str, Build] = {
    "tensorboard": _build_tensorboard,
    "mlflow": _build_mlflow,
    "wandb": _build_wandb,
}
