"""Shorter histories: sessions merged into one event, and events dropped by their features."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from seqrec.tokens.events.features import NO, YES
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.events.times import MICROSECONDS, NO_TIME
from seqrec.tokens.events.values import UNKNOWN


class ShortenedEvents(NamedTuple):
    """The events that remain after merging and dropping."""

    kept: Int[np.ndarray, " M"]
    """Rows that remain: the last row of every session that is not dropped."""
    first: Int[np.ndarray, " M"]
    """The first such row of the same session."""
    codes: Int[np.ndarray, "M C"]
    """Codes of a session: its last row's, marked as a session; features of times, and those before
    the item, are its first row's."""
    is_merged: Bool[np.ndarray, " N"]
    """Rows merged into a later row of their session."""
    is_dropped: Bool[np.ndarray, " N"]
    """Rows that are dropped."""


def continues(
    series: Int[np.ndarray, " N"],
    times: Int[np.ndarray, " N"],
    is_first: Bool[np.ndarray, " N"],
    gap_seconds: float,
) -> Bool[np.ndarray, " N"]:
    """Return whether each event continues the session of the previous one.

    Args:
        series: the number of each event's series; below 0 without one.
        times: microseconds since 1970.
        is_first: True for the first event of every history.
        gap_seconds: largest gap between two events of a session.
    """
    found = np.zeros(len(series), dtype=bool)
    known = times != NO_TIME
    gaps = np.diff(np.where(known, times, 0))
    is_near = (gaps >= 0) & (gaps <= gap_seconds * MICROSECONDS)
    is_same = (series[1:] == series[:-1]) & (series[1:] >= 0)
    found[1:] = is_same & is_near & known[1:] & known[:-1] & ~is_first[1:]
    return found


def shorten_events(
    grammar: Grammar, codes: Int[np.ndarray, "N C"], is_first: Bool[np.ndarray, " N"]
) -> ShortenedEvents:
    """Merge sessions and drop events by a grammar's rules.

    Args:
        grammar: its session feature, and the values whose events are dropped.
        codes: feature codes of the events.
        is_first: True where a history starts, or a part of one that sessions do not cross.
    """
    goes_on = np.zeros(len(codes), dtype=bool)
    is_dropped = np.zeros(len(codes), dtype=bool)
    is_of_first = grammar.is_before
    for number, feature in enumerate(grammar.features):
        if feature.source == "session":
            goes_on = (codes[:, number] == YES) & ~is_first
        is_of_first[number] |= feature.source == "time"
        is_dropped |= np.isin(codes[:, number], feature.dropped_codes)
    session = np.cumsum(~goes_on)
    left = np.flatnonzero(~is_dropped)
    is_new = np.append(True, session[left][1:] != session[left][:-1])[: len(left)]
    kept, first = left[np.append(is_new[1:], True)[: len(left)]], left[is_new]
    merged = np.where(is_of_first, codes[first], codes[kept])
    for number, feature in enumerate(grammar.features):
        if feature.source == "session":
            alone = np.where(merged[:, number] == UNKNOWN, UNKNOWN, NO)
            merged[:, number] = np.where(first < kept, YES, alone)
    is_merged = ~is_dropped
    is_merged[kept] = False
    return ShortenedEvents(kept, first, merged, is_merged, is_dropped)
