"""The HTML page of an evaluation: conditions, results, comparisons, settings of the systems."""

from collections.abc import Mapping, Sequence
from typing import Any

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
from seqrec.reports.tables import Estimate, html_table, list_columns
from seqrec.reports.trained_models import TrainedModel, model_parts

METHOD = (
    "Differences are means over queries, with 95 % bootstrap intervals over users; p by paired "
    "randomisation over users, adjusted by Holm over the table. A winner wins in every seed."
)


def evaluation_page(
    title: str,
    result: Mapping[str, Any],
    models: Sequence[TrainedModel],
    environment: Mapping[str, str],
) -> str:
    """A self-contained HTML page of the result of ``evaluate``."""
    return html.page(
        title, [*result_parts(result), *provenance_parts(result["baselines"], models, environment)]
    )


def result_parts(result: Mapping[str, Any]) -> list[str]:
    """The HTML parts of the conditions, tables, plots and comparisons."""
    counts = [f"{key.replace('_', ' ')}: {value:,}" for key, value in result["counts"].items()]
    return [
        html.note(result["protocol"]),
        *map(html.warning, [*result["warnings"], *result["notes"]]),
        html.note("; ".join(counts)),
        *_results(result),
        *_comparisons(result["comparisons"]),
        *_beyond_accuracy(result["rows"]),
        *_strata(result),
        *_order(result.get("order", ())),
        *_lists(result["rows"], result["metric"]),
    ]


def provenance_parts(
    baselines: Sequence[Mapping[str, Any]],
    models: Sequence[TrainedModel],
    environment: Mapping[str, str],
) -> list[str]:
    """The HTML parts of the settings of baselines and models, and of the environment."""
    parts = [*_baselines(baselines)]
    for model in models:
        parts += model_parts(model)
    rows = [{"what": name, "which": value} for name, value in environment.items()]
    return [*parts, html.heading("Environment"), html.wide(html_table(rows))]


def get_compared_system(result: Mapping[str, Any]) -> str:
    """The system that is compared with the others."""
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
        get_compared_system(result),
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
    if not set(list_columns(table)) - set(NAMES):
        return []
    return [html.heading("Beyond accuracy"), html.wide(html_table(table))]


def _strata(result: Mapping[str, Any]) -> list[str]:
    """A plot for each division of the queries, and the folded table."""
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
        png = plots.by_group(groups, systems, metric, title, get_compared_system(result))
        parts.append(html.image(png, title))
    table = html_table(strata_table(strata, metric))
    return [*parts, html.details("Table", html.wide(table))]


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
            "The same histories in order and shuffled as a whole, so that a system that reads only "
            "the last items reads other ones."
        ),
    ]


def _lists(rows: Sequence[Mapping[str, Any]], metric: str) -> list[str]:
    """The table of measurements such as speed, including the indexes."""
    facts = fact_columns(rows)
    if not facts:
        return []
    table = table_rows(rows, lambda key: key == metric or key in facts)
    return [html.heading("Retrieval"), html.wide(html_table(table))]


def _format_value(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _baselines(baselines: Sequence[Mapping[str, Any]]) -> list[str]:
    table = [
        {
            "baseline": baseline["baseline"],
            "settings": ", ".join(
                f"{key} = {_format_value(value)}" for key, value in baseline["settings"].items()
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
