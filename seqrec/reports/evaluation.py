"""The page of an evaluation: what was found, under which conditions, by what was trained how."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from seqrec.reports import html, plots
from seqrec.reports.evaluation_tables import (
    NAMES,
    accuracy_rows,
    beyond_rows,
    fact_columns,
    own_rows,
    strata_table,
    stratum_estimate,
    table_rows,
)
from seqrec.reports.tables import Estimate, columns_of, html_table

METHOD = (
    "Differences are means over queries, with 95 % bootstrap intervals over users; p by paired "
    "randomisation over users, adjusted by Holm over the table. Who wins, wins in every seed."
)


class SeedRun(NamedTuple):
    """What one training run says of itself."""

    seed: int
    metrics: Mapping[str, Any]
    """Of its ``metrics.json``."""
    log: Sequence[Mapping[str, Any]]
    """The lines of its ``log.jsonl``."""


class TrainedModel(NamedTuple):
    """A system that was trained, and its runs."""

    system: str
    settings: str
    """The resolved recipe; of several seeds the first one's."""
    runs: Sequence[SeedRun]
    """Empty if nothing but the model is there."""


def evaluation_page(
    title: str,
    result: Mapping[str, Any],
    models: Sequence[TrainedModel],
    environment: Mapping[str, str],
) -> str:
    """One self-contained HTML page of what ``evaluate`` found."""
    return html.page(
        title, [*findings(result), *provenance(result["baselines"], models, environment)]
    )


def findings(result: Mapping[str, Any]) -> list[str]:
    """The conditions, the tables, the plots and the verdicts."""
    counts = [f"{key.replace('_', ' ')}: {value:,}" for key, value in result["counts"].items()]
    return [
        html.note(result["protocol"]),
        *map(html.warning, result["notes"]),
        html.note("; ".join(counts)),
        *_results(result),
        *_comparisons(result["comparisons"]),
        *_beyond_accuracy(result["rows"]),
        *_strata(result),
        *_order(result.get("order", ())),
        *_lists(result["rows"], result["metric"]),
    ]


def provenance(
    baselines: Sequence[Mapping[str, Any]],
    models: Sequence[TrainedModel],
    environment: Mapping[str, str],
) -> list[str]:
    """How baselines and models came to be, and where they were judged."""
    parts = [*_baselines(baselines)]
    for model in models:
        parts += _model(model)
    rows = [{"what": name, "which": value} for name, value in environment.items()]
    return [*parts, html.heading("Environment"), html.wide(html_table(rows))]


def compared(result: Mapping[str, Any]) -> str:
    """The system that is set against the others."""
    comparisons = result["comparisons"]
    return comparisons[0]["system"] if comparisons else result["rows"][0]["system"]


def _results(result: Mapping[str, Any]) -> list[str]:
    metric, rows = result["metric"], own_rows(result["rows"])
    legend = "Means over queries; beneath, 95 % bootstrap intervals over users."
    if any("sd" in row for row in rows):
        legend = (
            "Means over seeds and queries; beneath, ± the standard deviation over seeds, and 95 % "
            "bootstrap intervals over users."
        )
    png = plots.bars(
        [row["system"] for row in rows],
        [row[metric] for row in rows],
        [row["intervals"][metric] for row in rows],
        metric,
        compared(result),
    )
    return [
        html.heading("Results"),
        html.wide(html_table(accuracy_rows(rows))),
        html.note(legend),
        html.image(png, f"{metric} of every system, with intervals"),
    ]


def _comparisons(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    if not comparisons:
        return []
    system, metric = comparisons[0]["system"], comparisons[0]["metric"]
    label = f"{metric}: {system} minus the other"
    png = plots.differences(
        [comparison["other"] for comparison in comparisons],
        [comparison["difference"] for comparison in comparisons],
        [comparison["interval"] for comparison in comparisons],
        [comparison["is_significant"] for comparison in comparisons],
        label,
    )
    return [
        html.heading(f"{system} against the others"),
        html.image(png, label),
        html.bullets([comparison["sentence"] for comparison in comparisons]),
        html.note(f"{METHOD} Filled dots are significant."),
    ]


def _beyond_accuracy(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    table = beyond_rows(own_rows(rows))
    if not set(columns_of(table)) - set(NAMES):
        return []
    return [html.heading("Beyond accuracy"), html.wide(html_table(table))]


def _strata(result: Mapping[str, Any]) -> list[str]:
    """A plot for each way to divide the queries, and the figures folded away."""
    strata = result.get("strata", ())
    if not strata:
        return []
    metric = result["metric"]
    parts = [html.heading(f"Where the systems differ: {metric} by stratum")]
    for by in dict.fromkeys(row["by"] for row in strata):
        groups = list(dict.fromkeys(str(row["group"]) for row in strata if row["by"] == by))
        systems: dict[str, list[Estimate | None]] = {}
        for row in strata:
            if row["by"] == by:
                cells = systems.setdefault(row["system"], [None] * len(groups))
                cells[groups.index(str(row["group"]))] = stratum_estimate(row, metric)
        title = f"{metric} by {by.replace('_', ' ')}"
        png = plots.by_group(groups, systems, metric, title, compared(result))
        parts.append(html.image(png, title))
    table = html_table(strata_table(strata, metric))
    return [*parts, html.details("The figures", html.wide(table))]


def _order(order: Sequence[Mapping[str, Any]]) -> list[str]:
    if not order:
        return []
    table = [
        {
            "system": row["system"],
            "metric": row["metric"],
            "in order": row["in_order"],
            "shuffled": row["shuffled"],
            "relative": f"{row['relative']:+.1%}",
            "95 % interval of the difference": "{:+.4f} to {:+.4f}".format(*row["interval"]),
        }
        for row in order
    ]
    return [
        html.heading("How much order matters"),
        html.wide(html_table(table)),
        html.note(
            "The same histories, in order and shuffled as a whole: a system that reads the last "
            "items of a history alone is asked with others."
        ),
    ]


def _lists(rows: Sequence[Mapping[str, Any]], metric: str) -> list[str]:
    """What was measured on the way, of indexes too."""
    facts = fact_columns(rows)
    if not facts:
        return []
    table = table_rows(rows, lambda key: key == metric or key in facts)
    return [html.heading("How the lists were found"), html.wide(html_table(table))]


def _said(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _baselines(baselines: Sequence[Mapping[str, Any]]) -> list[str]:
    table = [
        {
            "baseline": baseline["baseline"],
            "settings": ", ".join(
                f"{key} = {_said(value)}" for key, value in baseline["settings"].items()
            ),
            "trials": baseline.get("num_trials", 0),
            **(
                {f"validation {baseline['selection_metric']}": baseline["validation"]}
                if "validation" in baseline
                else {}
            ),
        }
        for baseline in baselines
        if baseline["settings"]
    ]
    if not table:
        return []
    return [
        html.heading("Settings of the baselines"),
        html.wide(html_table(table)),
        html.note("Trials: settings tried on validation; 0: as named, or the defaults."),
    ]


def _model(model: TrainedModel) -> list[str]:
    parts = [html.heading(f"Model {model.system}")]
    if model.runs:
        metric = model.runs[0].metrics["selection_metric"]
        best_epochs = [run.metrics["best_epoch"] for run in model.runs]
        png = plots.learning_curve([run.log for run in model.runs], metric, best_epochs)
        parts += [
            html.wide(html_table(runs_table(model.runs))),
            html.image(png, f"learning curve of {model.system}"),
            html.note(
                "Validation chose the epoch, where the dots are; test is scored once."
                if model.runs[0].metrics["validation"]
                else "There was no validation part: the last epoch is kept."
            ),
        ]
    return [*parts, html.details("Resolved settings", html.preformatted(model.settings))]


def runs_table(runs: Sequence[SeedRun]) -> list[dict[str, Any]]:
    """A row a seed: how long it trained, and what validation said of the best epoch."""
    rows = []
    for run in runs:
        metric = run.metrics["selection_metric"]
        row: dict[str, Any] = {"seed": run.seed} if len(runs) > 1 else {}
        row |= {
            "best epoch": run.metrics["best_epoch"],
            "epochs": run.metrics["num_epochs"],
            "parameters": run.metrics["num_parameters"],
            "training (s)": round(run.metrics["train_seconds"]),
            f"validation {metric}": run.metrics["validation"].get(metric),
        }
        rows.append(row)
    return rows
