"""The demo's page: the table, the tests, the plots, the people."""

import platform
from collections.abc import Mapping, Sequence
from typing import Any

from seqrec.reports import html, plots
from seqrec.reports.tables import html_table


def demo_page(
    *,
    title: str,
    origin: str,
    table: Sequence[Mapping[str, Any]],
    protocol: str,
    findings: Sequence[str],
    users: Sequence[Mapping[str, Any]],
    log: Sequence[Mapping[str, Any]],
    selection_metric: str,
    bars: Sequence[tuple[str, float, tuple[float, float]]],
    bars_label: str,
    model_name: str,
    settings: str,
) -> str:
    """One self-contained HTML page.

    Args:
        title: of the page.
        origin: where the data come from.
        table: a row a system.
        protocol: the conditions under which the table holds.
        findings: a sentence a comparison.
        users: ``user_id``, titles ``watched`` and ``recommended``.
        log: the lines of the run's ``log.jsonl``.
        selection_metric: which of its validation metrics chose the epoch.
        bars: a system, its value and interval.
        bars_label: what the bars measure.
        model_name: the system that stands out.
        settings: the resolved recipe.
    """
    names, values, intervals = zip(*bars, strict=True)
    people = [
        {
            "user": user["user_id"],
            "last watched": " · ".join(user["watched"]),
            "recommended": " · ".join(user["recommended"]),
        }
        for user in users
    ]
    return html.page(
        title,
        [
            html.note(origin),
            html.heading("Results"),
            html.wide(html_table(table)),
            html.note(protocol),
            *map(html.paragraph, findings),
            html.heading(f"{bars_label} beside the floors"),
            html.image(plots.bars(names, values, intervals, bars_label, model_name), bars_label),
            html.note("Bars: means over test queries; whiskers: 95 % bootstrap over users."),
            html.heading("Learning curve"),
            html.image(plots.learning_curve(log, selection_metric), "learning curve"),
            html.note("Weights are chosen on the validation part; the test part is scored once."),
            html.heading("Three people"),
            html.wide(html_table(people)),
            html.heading("Settings"),
            html.preformatted(settings),
            html.note(f"Python {platform.python_version()}, {platform.platform()}"),
        ],
    )
