"""Histories in requests: ids, or events such as ``{"item_id": "318", "rating": 5}``."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int64

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
    """Values that the model does not know, as ``key=value``."""
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
        SeqRecError: the event has no id.
    """
    if not isinstance(event, Mapping):
        return str(event)
    if ITEM_ID not in event:
        raise SeqRecError(f"history: event {dict(event)} has no {ITEM_ID!r}; add it")
    return str(event[ITEM_ID])


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
    times = _times(rows)
    is_first = np.arange(len(rows)) == 0
    for place, feature in enumerate(events.grammar.features):
        if feature.source == "time":
            codes[:, place] = feature.codes(time_values(times, is_first, feature.key))
        if feature.source != "column":
            continue
        for number, row in enumerate(rows):
            value = row.get(feature.key)
            if value is None or is_missing(value):
                continue
            code = feature.code_of(value)
            if code is None:
                unknown.append(f"{feature.key}={value}")
            codes[number, place] = code or UNKNOWN
    sessions = events.grammar.sessions
    if sessions is not None:
        named = None
        if sessions.source == "column":
            series = [row.get(sessions.key) for row in rows]
            named = np.array([_series_text(one) for one in series], dtype=str)
        events.coder.set_session_codes(codes, items, named, times, is_first)
    return ParsedEvents(codes, unknown, times)


def parse_conditions(grammar: Grammar, given: Mapping[str, Any]) -> Conditions:
    """Return the conditions on the next item, named by feature, by column, or as its time.

    Raises:
        SeqRecError: no feature before an item has this name, or it lacks the value.
    """
    codes, time = np.full(len(grammar.features), UNKNOWN, dtype=np.int32), None
    for name, value in given.items():
        asked = f"condition {name}={value}"
        if name == TIME_COLUMN and grammar.times == "target_time":
            time = _microseconds(value, "condition")
            continue
        place = grammar.find_feature(name, "before", asked)
        codes[place] = grammar.get_code(place, value, asked)
    return Conditions(codes, time)


def build_event_histories(
    items: Sequence[Int[np.ndarray, " T"]],
    told: Sequence[ParsedEvents],
    asked: Conditions,
) -> EventHistories:
    """Return histories that all have the same conditions."""
    codes, times = [one.codes for one in told], [one.times for one in told]
    target_times = None if asked.time is None else np.full(len(items), asked.time, dtype=np.int64)
    return EventHistories(items, codes, np.tile(asked.codes, (len(items), 1)), times, target_times)


def _series_text(value: Any) -> str:
    """Return the name of a series; empty where it is missing."""
    return "" if value is None or is_missing(value) else value_text(value)


def _times(rows: Sequence[Mapping[str, Any]]) -> Int64[np.ndarray, " T"]:
    """Return the times of events, oldest first, in microseconds since 1970."""
    values = [row.get(TIME_COLUMN) for row in rows]
    found = [NO_TIME if value is None else _microseconds(value, "history") for value in values]
    times = np.array(found, dtype=np.int64)
    known = times[times != NO_TIME]
    if (np.diff(known) < 0).any():
        later = int(np.argmax(np.diff(known) < 0))
        at = [value for value in values if value is not None]
        raise SeqRecError(
            f"history: the event of {TIME_COLUMN} {at[later + 1]} stands after that of "
            f"{at[later]}; give events oldest first"
        )
    return times


def _microseconds(value: Any, where: str) -> int:
    """Return a time from seconds since 1970 or ISO 8601, in UTC unless it has a zone."""
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
        raise SeqRecError(f"{where}: {TIME_COLUMN} {value} is no time in seconds since 1970")
    return round(seconds * MICROSECONDS)
