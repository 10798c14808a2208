"""A resumable search over a recipe's settings: trials, pruning, the study, the best recipe."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seqrec.builders.search import STARTUP_TRIALS, ask, load_optuna, start_with
from seqrec.config.load import with_settings
from seqrec.config.recipe import Recipe
from seqrec.config.search import SearchSpace, space_settings
from seqrec.config.yaml_text import dump_yaml
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.outputs import METRICS_FILE, swap_in
from seqrec.reports.search import search_plot
from seqrec.reports.tables import text_table
from seqrec.runs.folder import CONFIG_FILE, unfinished
from seqrec.runs.recipe import train_recipe
from seqrec.training.callbacks import ShouldStop
from seqrec.training.epoch_log import read_log
from seqrec.training.fit import LOG_FILE

STUDY_FILE = "study.db"
TRIALS_FILE = "trials.json"
TABLE_FILE = "trials.txt"
PLOT_FILE = "trials.png"
BEST_FILE = "best.yaml"
TRIALS_FOLDER = "trials"
WARMUP_EPOCHS = 3
"""Epochs before which no trial is pruned."""


@dataclass
class Search:
    """A study, and the folder that holds its trials."""

    recipe: Recipe
    space: SearchSpace
    prepared: PreparedData
    folder: Path
    study: Any

    @classmethod
    def open(
        cls, recipe: Recipe, space: SearchSpace, prepared: PreparedData, folder: Path
    ) -> "Search":
        """Open the study of a folder, or a new one; an interrupted trial is dropped from it."""
        optuna = load_optuna("tune")
        from sqlalchemy import URL  # which Optuna needs

        file = URL.create("sqlite", database=str(folder / STUDY_FILE)).render_as_string()
        study = optuna.create_study(
            study_name="tune",
            storage=optuna.storages.RDBStorage(file),
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=STARTUP_TRIALS, n_warmup_steps=WARMUP_EPOCHS
            ),
            load_if_exists=True,
        )
        search = cls(recipe, space, prepared, folder, study)
        for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            search._tell(trial.number, trial.user_attrs.get("row"))
        return search

    @property
    def metric(self) -> str:
        """The validation metric that trials are compared by."""
        return self.recipe.trainer.selection_metric

    def ended(self) -> list[dict[str, Any]]:
        """Return a row for each trial that has ended: complete, pruned or failed."""
        rows = [trial.user_attrs.get("row") for trial in self.study.get_trials(deepcopy=False)]
        return [row for row in rows if row is not None]

    def best(self) -> dict[str, Any] | None:
        """Return the complete trial with the best validation, the first of equals."""
        complete = [row for row in self.ended() if row["state"] == "complete"]
        return max(complete, key=lambda row: row[self.metric], default=None)

    def run(self, number: int, num_trials: int) -> None:
        """Run a trial, or continue an interrupted one."""
        if number == 0:
            as_written = self.recipe.model_dump(exclude_unset=True)
            settings = _dotted(self.recipe.model_dump()) | _dotted(as_written)
            for key in start_with(self.study, self.space, settings):
                print(
                    f"trial 0 draws {key}: the recipe's {settings.get(key)} is not in the search",
                    file=sys.stderr,
                )
        trial, values = ask(self.study, self.space, self.recipe.trainer.seed, number)
        folder = self.folder / TRIALS_FOLDER / f"{number:03d}"
        row: dict[str, Any] = {"trial": number}
        known = next((known for known in self.ended() if known["settings"] == values), None)
        try:
            if known is None:
                row |= self._train(trial, values, folder)
            else:
                seconds = {"train_seconds": 0.0} if "train_seconds" in known else {}
                row = {**known, **row, **seconds, "same_as": known["trial"]}
        except (SeqRecError, torch.OutOfMemoryError, MemoryError) as error:
            if isinstance(error.__cause__, OSError):
                raise
            reason = " ".join(str(error).split()) or "out of memory"
            row |= {"state": "failed", "settings": values, "reason": reason}
            shutil.rmtree(unfinished(folder), ignore_errors=True)
        trial.set_user_attr("row", row)
        self._tell(trial.number, row)
        best = self.best()
        self._keep_weights(best)
        is_failed = row["state"] == "failed"
        what = row["reason"] if is_failed else f"{self.metric} {row[self.metric]:.4f}"
        so_far = f"; best {best[self.metric]:.4f} (trial {best['trial']})" if best else ""
        print(
            f"trial {number} ({number + 1} of {num_trials}), {row['state']}: {what}{so_far}",
            file=sys.stderr,
            flush=True,
        )

    def _tell(self, trial_number: int, row: dict[str, Any] | None) -> None:
        """Record the end of a trial in the study; one without a row was interrupted."""
        from optuna.trial import TrialState

        state = row["state"] if row else "interrupted"
        if row and state == "complete":
            self.study.tell(trial_number, row[self.metric])
        else:
            is_pruned = state == "pruned"
            self.study.tell(trial_number, state=TrialState.PRUNED if is_pruned else TrialState.FAIL)

    def _train(self, trial: Any, values: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Train with these values, or continue, and return the trial's row."""
        recipe = with_settings(self.recipe, values)
        partial = unfinished(folder)
        is_worse = _pruner(trial)
        logs = [path / LOG_FILE for path in (folder, partial) if (path / LOG_FILE).exists()]
        metric = f"val/{self.metric}"
        is_pruned = any(
            [is_worse(line["epoch"], line[metric]) for log in logs for line in read_log(log)]
        )
        if not is_pruned:
            is_begun = folder.exists() or (partial / CONFIG_FILE).exists()

            def should_stop(epoch: int, value: float) -> bool:
                nonlocal is_pruned
                is_pruned = is_worse(epoch, value)
                return is_pruned

            train_recipe(
                recipe,
                self.prepared,
                folder,
                resume=is_begun,
                overwrite=True,
                should_stop=should_stop,
            )
        elif partial.exists():
            swap_in(partial, folder)
        lines = read_log(folder / LOG_FILE)
        best = max(lines, key=lambda line: line[metric])
        value, best_epoch = best[metric], best["epoch"] + 1
        if not is_pruned:  # the final model, whose weights and prior strength were chosen last
            metrics = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
            value, best_epoch = metrics["validation"][self.metric], metrics["best_epoch"]
        return {
            "state": "pruned" if is_pruned else "complete",
            self.metric: value,
            "best_epoch": best_epoch,
            "num_epochs": len(lines),
            "train_seconds": round(sum(line["train_seconds"] for line in lines), 1),
            "settings": values,
        }

    def _keep_weights(self, best: dict[str, Any] | None) -> None:
        """Delete checkpoints, and every model but the best."""
        kept = f"{best['trial']:03d}" if best else ""
        for folder in (self.folder / TRIALS_FOLDER).glob("[0-9]*"):
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            if folder.name != kept:
                shutil.rmtree(folder / "model", ignore_errors=True)

    def write(self) -> None:
        """Write table, plot and best recipe."""
        best = self.best()
        assert best is not None
        self._keep_weights(best)
        rows = self.ended()
        run = self.folder / TRIALS_FOLDER / f"{best['trial']:03d}"
        content = {
            "selection_metric": self.metric,
            "protocol": json.loads((run / METRICS_FILE).read_text(encoding="utf-8"))["protocol"],
            "best": best,
            "trials": rows,
        }
        (self.folder / TRIALS_FILE).write_text(
            json.dumps(content, indent=2) + "\n", encoding="utf-8"
        )
        table = f"{trial_table(rows)}\n{content['protocol']}\n"
        (self.folder / TABLE_FILE).write_text(table, encoding="utf-8")
        in_logs = [key for key, values in space_settings(self.space).items() if _is_log(values)]
        (self.folder / PLOT_FILE).write_bytes(search_plot(rows, self.metric, in_logs))
        recipe = with_settings(self.recipe, best["settings"]).model_dump()
        title = (
            f"# The best of {len(rows)} trials: validation {self.metric} {best[self.metric]:.4f}.\n"
        )
        text = title + dump_yaml(recipe)
        (self.folder / BEST_FILE).write_text(text, encoding="utf-8")


def _pruner(trial: Any) -> ShouldStop:
    """Return a function that reports each epoch once, and whether the trial should end."""
    answers: dict[int, bool] = {}

    def is_worse(epoch: int, value: float) -> bool:
        if epoch not in answers:
            trial.report(value, epoch)
            answers[epoch] = trial.should_prune()
        return answers[epoch]

    return is_worse


def trial_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return a text table with a row for each trial and a column for each setting."""
    last = ("settings", "reason")
    return text_table(
        [
            {key: value for key, value in row.items() if key not in last}
            | {key: _short(value) for key, value in row["settings"].items()}
            | ({"reason": row["reason"]} if "reason" in row else {})
            for row in rows
        ]
    )


def _short(value: Any) -> Any:
    is_plain = value is None or isinstance(value, int | str)
    return value if is_plain else f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _is_log(values: Any) -> bool:
    return isinstance(values, dict) and values["log"]


def _dotted(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted key, blocks included."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat[prefix + key] = value
        if isinstance(value, dict):
            flat |= _dotted(value, f"{prefix}{key}.")
    return flat
