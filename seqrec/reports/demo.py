"""The demo's page: an evaluation's, with where the data come from and what a few people get."""

from collections.abc import Mapping, Sequence
from typing import Any

from seqrec.reports import html
from seqrec.reports.evaluation import TrainedModel, findings, provenance
from seqrec.reports.tables import html_table


def demo_page(
    *,
    title: str,
    origin: str,
    result: Mapping[str, Any],
    users: Sequence[Mapping[str, Any]],
    models: Sequence[TrainedModel],
    environment: Mapping[str, str],
) -> str:
    """One self-contained HTML page.

    Args:
        title: of the page.
        origin: where the data come from.
        result: what ``evaluate`` found.
        users: ``user_id``, titles ``watched`` and ``recommended``.
        models: that were trained.
        environment: where it ran, by name.
    """
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
            *findings(result),
            html.heading("A few people"),
            html.wide(html_table(people)),
            *provenance(result["baselines"], models, environment),
        ],
    )
