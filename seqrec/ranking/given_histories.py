"""Histories as callers give them: lists, generators, arrays and series, read once into lists."""

from collections.abc import Iterable, Mapping
from typing import Any

from seqrec.errors import SeqRecError
from seqrec.tokens.events.requests import Event

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


def _is_listing(value: Any) -> bool:
    """Test whether a value lists others in an order, and is no text, mapping or frame."""
    is_single = isinstance(value, str | bytes | Mapping | set | frozenset)
    return isinstance(value, Iterable) and not is_single and not hasattr(value, "columns")
