"""From columns of the log and the items to codes of event features."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from seqrec.data.histories import Histories
from seqrec.data.item_columns import item_values
from seqrec.tokens.events.features import NO, YES, Feature
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.events.sessions import continues
from seqrec.tokens.events.times import NO_TIME, TIME_COLUMN, time_values
from seqrec.tokens.events.values import UNKNOWN, is_missing


class EventCoder:
    """Feature codes of the interactions of a log, a column a feature."""

    def __init__(
        self,
        grammar: Grammar,
        item_codes: Mapping[int, Int[np.ndarray, " I"]],
        item_series: Int[np.ndarray, " I"] | None = None,
    ) -> None:
        """Keep the codes of the items.

        Args:
            grammar: the features.
            item_codes: by index of every feature of items, the code of each item.
            item_series: the number of each item's series, below 0 without one; None unless the
                items name the series of sessions.
        """
        self.grammar = grammar
        self.item_codes = dict(item_codes)
        self.item_series = item_series

    @classmethod
    def of(cls, grammar: Grammar, items: Any, key: str) -> "EventCoder":
        """Build the coder of a catalog.

        Args:
            grammar: the features.
            items: a row an item, in catalog order.
            key: the recipe's key, for the error.

        Raises:
            SeqRecError: the items lack a column.
        """
        codes = {
            number: feature.codes(item_values(items, feature.key, key))
            for number, feature in enumerate(grammar.features)
            if feature.source == "item"
        }
        series = None
        if grammar.sessions is not None and grammar.sessions.source == "item":
            series = number_values(item_values(items, grammar.sessions.key, key))
        return cls(grammar, codes, series)

    def codes(self, histories: Histories) -> Int[np.ndarray, "N C"]:
        """Return the code of every feature of every interaction.

        It depends on the interaction and, for gaps and sessions, on the previous one.
        """
        found = self.item_feature_codes(histories.items)
        for number, feature in enumerate(self.grammar.features):
            if feature.column is not None:
                found[:, number] = feature.codes(log_values(feature, histories))
        sessions = self.grammar.sessions
        if sessions is not None:
            named = histories.columns.get(sessions.key) if sessions.source == "column" else None
            times = histories.columns[TIME_COLUMN]
            self.set_session_codes(
                found, histories.items, named, times, is_history_start(histories)
            )
        return found

    def set_session_codes(
        self,
        codes: Int[np.ndarray, "N C"],
        items: Int[np.ndarray, " N"],
        named: np.ndarray | None,
        times: Int[np.ndarray, " N"],
        is_first: Bool[np.ndarray, " N"],
    ) -> None:
        """Write into ``codes`` whether each event continues the session of the previous one.

        Args:
            codes: of the events.
            items: their items.
            named: the names of their series in the log; None if the items name the series.
            times: microseconds since 1970.
            is_first: True for the first event of every history.
        """
        assert self.grammar.sessions is not None
        if named is not None:
            series = number_values(named)
        else:
            assert self.item_series is not None
            series = np.where(items >= 0, self.item_series[items], -1)
        gap_seconds = self.grammar.sessions.gap_seconds
        found = np.where(continues(series, times, is_first, gap_seconds), YES, NO)
        for number, feature in enumerate(self.grammar.features):
            if feature.source == "session":
                codes[:, number] = np.where(times == NO_TIME, UNKNOWN, found)

    def item_feature_codes(self, items: Int[np.ndarray, " N"]) -> Int[np.ndarray, "N C"]:
        """Return the codes that follow from items alone; all others are ``UNKNOWN``."""
        found = np.full((len(items), len(self.grammar.features)), UNKNOWN, dtype=np.int32)
        for number, codes in self.item_codes.items():
            found[:, number] = np.where(items >= 0, codes[items], UNKNOWN)
        return found


def log_values(feature: Feature, histories: Histories) -> np.ndarray:
    """Return the values of a feature of the log: numbers or words, one an event."""
    assert feature.column is not None
    values = histories.columns[feature.column]
    if feature.source == "column":
        return values
    return time_values(values, is_history_start(histories), feature.key)


def is_history_start(histories: Histories) -> Bool[np.ndarray, " N"]:
    """Return True for the first interaction of every history."""
    is_first = np.zeros(len(histories.items), dtype=bool)
    starts = histories.offsets[:-1]
    is_first[starts[starts < len(is_first)]] = True
    return is_first


def number_values(values: np.ndarray) -> Int[np.ndarray, " N"]:
    """Return a number for each value, equal for equal values; -1 for missing values."""
    unique, inverse = np.unique(values, return_inverse=True)
    is_known = np.array([not is_missing(value) for value in unique.tolist()], dtype=bool)
    return np.where(is_known, np.arange(len(unique)), -1)[inverse.reshape(-1)]
