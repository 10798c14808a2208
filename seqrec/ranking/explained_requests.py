"""Answers to requests in words, each item with what of the request and the history led to it."""

from collections.abc import Mapping
from typing import Any

from seqrec.ranking.explained import Explainer, explain_rows
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.soft_parts import SoftParts
from seqrec.ranking.text_requests import TextSearch, describe_dropped, list_levels
from seqrec.search.reading import Condition, RequestReading


def answer_explained(
    search: TextSearch, text: str, asked: ListRequest, explainer: Explainer
) -> dict[str, Any]:
    """Return the answer to a request with an explanation of every item.

    Args:
        search: of the catalog.
        text: the request.
        asked: the history and the options of the list.
        explainer: of the same model or baseline; its ranks count the soft words of the request.
    """
    read = search.read(search.compile(text), asked.reading)
    request, answer = read.request, search.answer_read(read, asked)
    fused = Explainer(read.served, explainer.counted, explainer.wording, explainer.attributes)
    rows, whole = answer["recommendations"], [*asked.history, *request.items]
    reading = asked.reading.without_words()
    items, _ = read.served.table.find([row["item_id"] for row in rows])
    soft = SoftParts(search, read, whole, items, asked.reading)
    wishes = _Wishes(request, dict(zip(items.tolist(), rows, strict=True)), soft)
    return explain_rows(
        fused,
        answer,
        whole,
        reading,
        asked=request.items,
        fulfils=wishes.list_fulfilled,
    )


class _Wishes:
    """The parts of a request that listed items fulfil."""

    def __init__(
        self, request: RequestReading, rows: Mapping[int, Mapping[str, Any]], soft: SoftParts
    ) -> None:
        self.request = request
        self.rows = rows
        self.soft = soft

    def list_fulfilled(self, item: int) -> list[str]:
        """Return the conditions and soft words that led to an item, in words."""
        conditions, without = self.request.conditions, self.rows[item].get("without")
        levels = list_levels(conditions)
        kept = next(one for one in levels if describe_dropped(conditions, one) == without)
        return [*map(_describe, kept), *self.soft.list_moving(item)]


def _describe(condition: Condition) -> str:
    if condition.is_excluded:
        return f"no {condition.value}"
    return condition.words or f"{condition.column} {condition.operator} {condition.value}"
