"""The HTML page of the demo: an evaluation, the data's origin, and lists of a few users."""

from collections.abc import Mapping, Sequence
from typing import Any

from seqrec.reports import html
from seqrec.reports.evaluation import provenance_parts, result_parts
from seqrec.reports.tables import html_table
from seqrec.reports.trained_models import TrainedModel


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
        title: title of the page.
        origin: a sentence on the origin of the data.
        result: the result of ``evaluate``.
        users: ``user_id``, titles ``watched`` and ``recommended``.
        models: the trained models.
        environment: names and values of the machine and versions.
    """
    table = [
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
            *result_parts(result),
            html.heading("A few users"),
            html.wide(html_table(table)),
            *provenance_parts(result["baselines"], models, environment),
        ],
    )
