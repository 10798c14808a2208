"""Histories as callers give them: lists, generators, arrays and series, read once into lists."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from seqrec.data.item_table import ItemTable
from seqrec.data.tables import is_frame
from seqrec.errors import SeqRecError
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.requests import (
    Event,
    build_event_histories,
    get_item_id,
    get_keys,
    parse_conditions,
    parse_events,
)

EXAMPLE = "[['318', '527'], ['1']]"


def list_histories(histories: Any) -> list[list[Event]]:
    """Return histories as lists of ids or events.

    Raises:
        SeqRecError: no listing of histories, such as a single history.
    """
    if not _is_listing(histories):
        raise SeqRecError(f"histories must be lists of item ids: {EXAMPLE}")
    lists = []
    for history in histories:
        if not _is_listing(history):
            raise SeqRecError(f"histories must be lists of item ids: {EXAMPLE}")
        lists.append(list(history))
    return lists


def check_history(history: Sequence[Any]) -> Sequence[Event]:
    """Return one history of ids or events.

    Raises:
        SeqRecError: several histories.
    """
    if any(_is_listing(event) for event in history):
        raise SeqRecError("history: holds lists; give one history, or several as histories")
    return history


def list_keys(histories: Sequence[Sequence[Event]]) -> list[str]:
    """Return the keys of all events, without that of the item."""
    return list(dict.fromkeys(key for history in histories for key in get_keys(history)))


def refuse_conditions(name: str, conditions: Mapping[str, Any]) -> None:
    """Refuse conditions for a system that reads items only."""
    if conditions:
        raise SeqRecError(
            f"condition {', '.join(conditions)}: {name} reads items only; train it with data.events"
        )


def read_events(
    histories: Sequence[Sequence[Event]],
    items: Sequence[Int[np.ndarray, " T"]],
    table: ItemTable,
    events: EventTokens,
    conditions: Mapping[str, Any],
) -> tuple[EventHistories, list[str]]:
    """Return histories with their event features, and the unknown features and values.

    Args:
        histories: ids or events, oldest first.
        items: the histories as items, without unknown ones.
        table: the catalog.
        events: event tokens of the model's grammar.
        conditions: feature values of the recommended items.
    """
    columns = events.grammar.columns
    unknown = [key for key in list_keys(histories) if key not in columns]
    parsed = [
        parse_events([event for event in history if get_item_id(event) in table], known, events)
        for history, known in zip(histories, items, strict=True)
    ]
    unknown += [description for history in parsed for description in history.unknown]
    codes = parse_conditions(events.grammar, conditions)
    return build_event_histories(items, parsed, codes), list(dict.fromkeys(unknown))


def _is_listing(value: Any) -> bool:
    """Test whether a value lists others in an order, and is no text, mapping or frame."""
    is_single = isinstance(value, str | bytes | Mapping | set | frozenset)
    return isinstance(value, Iterable) and not is_single and not is_frame(value)
