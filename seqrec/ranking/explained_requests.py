"""Answers to requests in words, each item with what of the request and the history led to it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from seqrec.ranking.explained import Explainer, Fulfils, explain_rows
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.served import Reading
from seqrec.ranking.soft_parts import SoftParts
from seqrec.ranking.text_requests import ReadRequest, TextSearch
from seqrec.search.reading import Condition
from seqrec.tokens.events.requests import Event

SIGNS = {"=": "", "<": "below ", "<=": "up to ", ">": "above ", ">=": "from "}
"""The words of an operator before its value."""


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
    whole = [*asked.history, *request.items]
    items, _ = read.served.table.find([row["item_id"] for row in answer["recommendations"]])
    return explain_rows(
        explainer.over(read.served),
        answer,
        whole,
        asked.reading.without_words(),
        asked=request.items,
        fulfils=find_wishes(search, read, whole, items, asked.reading),
    )


def find_wishes(
    search: TextSearch | None,
    read: ReadRequest,
    history: Sequence[Event],
    items: Int[np.ndarray, " K"],
    reading: Reading,
) -> Fulfils:
    """Return a function of an item: the conditions that it fulfils, and the words that led to it.

    Args:
        search: of the catalog; None: the effect of soft words is not known.
        read: the request.
        history: with the items that the request names.
        items: rows of the catalog, the items that are asked for.
        reading: conditions and plans, and the weight of the words.
    """
    table = read.served.table
    masks = [(one, table.select_where(one.where)) for one in read.request.conditions]
    soft = None if search is None else SoftParts(search, read, history, items, reading)

    def list_fulfilled(item: int) -> list[str]:
        kept = describe_conditions([one for one, is_fulfilled in masks if is_fulfilled[item]])
        return kept if soft is None else [*kept, *soft.list_moving(item)]

    return list_fulfilled


def describe_conditions(conditions: Sequence[Condition]) -> list[str]:
    """Return conditions in words; two bounds of a column, one after the other, are a range."""
    described: list[str] = []
    lower, low = "", None  # of the condition before, if it is a lower bound
    for one in conditions:
        is_plain = not (one.words or one.is_excluded)
        if is_plain and one.operator == "<=" and one.column == lower:
            described[-1] = f"{_name(one)} {low} to {one.value}"
            lower = ""
        else:
            described.append(_describe(one))
            lower, low = one.column * (is_plain and one.operator == ">="), one.value
    return described


def _describe(condition: Condition) -> str:
    if condition.words and not condition.is_excluded:
        return condition.words
    if condition.operator == "contains":
        return f"no {condition.value}" if condition.is_excluded else str(condition.value)
    sign = "not " * condition.is_excluded
    return f"{sign}{_name(condition)} {SIGNS[condition.operator]}{condition.value}"


def _name(condition: Condition) -> str:
    name = condition.column.replace("_", " ")
    return f"{name}s" if name.endswith("year") and condition.operator != "=" else name
