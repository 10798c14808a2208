"""Answers to requests in words, each item with what of the request and the history led to it."""

from collections.abc import Mapping, Sequence
from typing import Any

from seqrec.ranking.explained import Explainer, explain_rows
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.served import Served
from seqrec.ranking.text_fusion import TextFusion
from seqrec.ranking.text_requests import TextSearch, describe_dropped, list_levels
from seqrec.search.reading import Condition, RequestReading

MIN_EFFECT_NATS = 1.0
"""Soft words that add less to an item are not said to have led to it."""


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
    read = search.read(search.compile(text))
    request, answer = read.request, search.answer_read(read, asked)
    fused = Explainer(read.served, explainer.counted, explainer.wording, explainer.attributes)
    wishes = _Wishes(request, answer["recommendations"], read.served)
    return explain_rows(
        fused,
        answer,
        [*asked.history, *request.items],
        asked.reading,
        asked=request.items,
        fulfils=wishes.list_fulfilled,
    )


class _Wishes:
    """The parts of a request that listed items fulfil."""

    def __init__(
        self, request: RequestReading, rows: Sequence[Mapping[str, Any]], served: Served
    ) -> None:
        self.request = request
        self.ranker = served.ranker
        items, _ = served.table.find([row["item_id"] for row in rows])
        self.without = {
            item: row.get("without") for item, row in zip(items.tolist(), rows, strict=True)
        }

    def list_fulfilled(self, item: int) -> list[str]:
        """Return the conditions and soft words that led to an item, in words."""
        conditions, without = self.request.conditions, self.without.get(item)
        levels = list_levels(conditions)
        kept = next(one for one in levels if describe_dropped(conditions, one) == without)
        wishes = [_describe(one) for one in kept]
        is_moved = isinstance(self.ranker, TextFusion) and (
            self.ranker.get_effect(item) >= MIN_EFFECT_NATS
        )
        return [*wishes, f'"{self.request.text}"'] if is_moved else wishes


def _describe(condition: Condition) -> str:
    if condition.is_excluded:
        return f"no {condition.value}"
    return condition.words or f"{condition.column} {condition.operator} {condition.value}"
