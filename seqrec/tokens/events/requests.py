"""Histories in requests: ids, or events such as ``{"item_id": "318", "rating": 5}``."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int64

from seqrec.data.ids import get_id_text
from seqrec.errors import SeqRecError
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.times import MICROSECONDS, NO_TIME, TIME_COLUMN, time_values
from seqrec.tokens.events.values import UNKNOWN, is_missing, parse_number, value_text

ITEM_ID = "item_id"
Event = str | Mapping[str, Any]


class ParsedEvents(NamedTuple):
    """The feature codes and times of a history's events."""

    codes: Int[np.ndarray, "T C"]
    unknown: list[str]
    """Values outside the model's vocabularies, as ``key=value``."""
    times: Int64[np.ndarray, " T"]
    """Microseconds since 1970."""


class Conditions(NamedTuple):
    """Conditions on the next item."""

    codes: Int[np.ndarray, " C"]
    """Codes of the features before the next item."""
    time: int | None
    """The time of the next item, in microseconds since 1970."""


def get_item_id(event: Event) -> str:
    """Return the id of an event's item.

    Raises:
        SeqRecError: the event has no id, or a missing one.
    """
    if not isinstance(event, Mapping):
        return get_id_text(event)
    if ITEM_ID not in event:
        raise SeqRecError(f"history: event {dict(event)} has no {ITEM_ID!r}; add it")
    return get_id_text(event[ITEM_ID])


def get_keys(history: Sequence[Event]) -> list[str]:
    """Return the keys of events, without that of the item."""
    events = [event for event in history if not isinstance(event, str)]
    keys = [str(key) for event in events if isinstance(event, Mapping) for key in event]
    return [key for key in dict.fromkeys(keys) if key != ITEM_ID]


def parse_events(
    history: Sequence[Event], items: Int[np.ndarray, " T"], events: EventTokens
) -> ParsedEvents:
    """Return the feature codes and times of a history's events.

    Args:
        history: events, oldest first.
        items: their items.
        events: event tokens of the model's grammar.

    Raises:
        SeqRecError: events are out of order, or a time is invalid.
    """
    rows = [event if isinstance(event, Mapping) else {} for event in history]
    codes = events.coder.item_feature_codes(items)
    unknown = []
    times = _parse_times(rows)
    is_first = np.arange(len(rows)) == 0
    for index, feature in enumerate(events.grammar.features):
        if feature.source == "time":
            codes[:, index] = feature.codes(time_values(times, is_first, feature.key))
        if feature.source != "column":
            continue
        for number, row in enumerate(rows):
            value = row.get(feature.key)
            if value is None or is_missing(value):
                continue
            code = feature.code_of(value)
            if code is None:
                unknown.append(f"{feature.key}={value}")
            codes[number, index] = code or UNKNOWN
    sessions = events.grammar.sessions
    if sessions is not None:
        names = None
        if sessions.source == "column":
            series = [row.get(sessions.key) for row in rows]
            names = np.array([_series_text(one) for one in series], dtype=str)
        events.coder.set_session_codes(codes, items, names, times, is_first)
    return ParsedEvents(codes, unknown, times)


def parse_conditions(grammar: Grammar, conditions: Mapping[str, Any]) -> Conditions:
    """Return the conditions on the next item, named by feature, by column, or as its time.

    Raises:
        SeqRecError: no feature before an item has this name, or it lacks the value.
    """
    codes, time = np.full(len(grammar.features), UNKNOWN, dtype=np.int32), None
    for name, value in conditions.items():
        source = f"condition {name}={value}"
        if name == TIME_COLUMN and grammar.times == "target_time":
            time = _parse_microseconds(value, "condition")
            continue
        index = grammar.find_feature(name, "before", source)
        codes[index] = grammar.get_code(index, value, source)
    return Conditions(codes, time)


def build_event_histories(
    items: Sequence[Int[np.ndarray, " T"]],
    events: Sequence[ParsedEvents],
    conditions: Conditions,
) -> EventHistories:
    """Return histories that all have the same conditions."""
    codes, times = [one.codes for one in events], [one.times for one in events]
    target_times = None
    if conditions.time is not None:
        target_times = np.full(len(items), conditions.time, dtype=np.int64)
    tiled = np.tile(conditions.codes, (len(items), 1))
    return EventHistories(items, codes, tiled, times, target_times)


def _series_text(value: Any) -> str:
    """Return the name of a series; empty if it is missing."""
    return "" if value is None or is_missing(value) else value_text(value)


def _parse_times(rows: Sequence[Mapping[str, Any]]) -> Int64[np.ndarray, " T"]:
    """Return the times of events, oldest first, in microseconds since 1970."""
    values = [row.get(TIME_COLUMN) for row in rows]
    numbers = [
        NO_TIME if value is None else _parse_microseconds(value, "history") for value in values
    ]
    times = np.array(numbers, dtype=np.int64)
    known = times[times != NO_TIME]
    if (np.diff(known) < 0).any():
        number = int(np.argmax(np.diff(known) < 0))
        earlier, later = [value for value in values if value is not None][number : number + 2]
        raise SeqRecError(
            f"history: the event of {TIME_COLUMN} {later} follows that of {earlier}; give events "
            "oldest first"
        )
    return times


def _parse_microseconds(value: Any, where: str) -> int:
    """Return the microseconds of a time in seconds since 1970 or ISO 8601; UTC by default."""
    seconds = parse_number(value)
    if seconds is None:
        try:
            time = datetime.fromisoformat(str(value))
        except ValueError as error:
            raise SeqRecError(
                f"{where}: {TIME_COLUMN} {value!r} is neither seconds since 1970 nor ISO 8601"
            ) from error
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        seconds = time.timestamp()
    if not abs(seconds) < 1e12:
        raise SeqRecError(f"{where}: {TIME_COLUMN} {value} is not a time in seconds since 1970")
    return round(seconds * MICROSECONDS)
