"""The interface of stores, and the rule by which events are added."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

MAX_STORED = 2000
"""Last events of a user that a store keeps."""

Events = list[Any]


class UserStore(Protocol):
    """Histories by user, each oldest first."""

    def add(self, user: str, events: Sequence[Any]) -> Events:
        """Add events to a user's history, and return all of it; see ``extend``."""

    def read(self, user: str) -> Events:
        """Return the history of a user; empty for a new one."""

    def delete(self, user: str) -> bool:
        """Delete everything about a user; return False if there was nothing."""

    def close(self) -> None:
        """Release files and connections."""


def extend(history: Sequence[Any], events: Sequence[Any]) -> Events:
    """Return a history with new events at its end, cut to the last ones that are kept.

    Events with which the history ends already are not added again, so that a request that is sent
    twice counts once.
    """
    if events and list(history[-len(events) :]) == list(events):
        return list(history)[-MAX_STORED:]
    return [*history, *events][-MAX_STORED:]


def encode(events: Sequence[Any]) -> str:
    """Return events as text."""
    return json.dumps(list(events), ensure_ascii=False)


def decode(text: str) -> Events:
    """Return the events of ``encode``."""
    return json.loads(text)
