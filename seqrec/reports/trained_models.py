"""The part of a report on trained models: their runs, learning curves and settings."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from seqrec.reports import html, plots
from seqrec.reports.tables import html_table


class SeedRun(NamedTuple):
    """The results of one training run."""

    seed: int
    metrics: Mapping[str, Any]
    """The content of its ``metrics.json``."""
    log: Sequence[Mapping[str, Any]]
    """The lines of its ``log.jsonl``."""


class TrainedModel(NamedTuple):
    """A trained system and its runs."""

    system: str
    settings: str
    """The resolved recipe, of the first seed."""
    runs: Sequence[SeedRun]
    """Empty for a model folder without a run folder."""


def model_parts(model: TrainedModel) -> list[str]:
    """The HTML parts of a trained model: its runs, learning curves and settings."""
    parts = [html.heading(f"Model {model.system}")]
    if model.runs:
        metric = model.runs[0].metrics["selection_metric"]
        best_epochs = [run.metrics["best_epoch"] for run in model.runs]
        png = plots.learning_curve([run.log for run in model.runs], metric, best_epochs)
        parts += [
            html.wide(html_table(runs_table(model.runs))),
            html.image(png, f"learning curve of {model.system}"),
            html.note(
                "Dots mark the epochs that validation chose; the test part is scored once."
                if model.runs[0].metrics["validation"]
                else "The data have no validation part: the last epoch is kept."
            ),
        ]
    return [*parts, html.details("Resolved settings", html.preformatted(model.settings))]


def runs_table(runs: Sequence[SeedRun]) -> list[dict[str, Any]]:
    """A row per seed: the length of training and the validation metric of the best epoch."""
    rows = []
    for run in runs:
        metric = run.metrics["selection_metric"]
        row: dict[str, Any] = {"seed": run.seed} if len(runs) > 1 else {}
        row |= {
            "best epoch": run.metrics["best_epoch"],
            "epochs": run.metrics["num_epochs"],
            "parameters": run.metrics["num_parameters"],
            "training (s)": round(run.metrics["costs"]["train_seconds"]),
            f"validation {metric}": run.metrics["validation"].get(metric),
        }
        rows.append(row)
    return rows
