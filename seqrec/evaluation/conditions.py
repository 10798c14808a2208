"""Queries as inputs of one ranker: with its event features, times and conditions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int

from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import Queries
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.ranker import Ranker
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.log import event_log
from seqrec.tokens.events.requests import parse_conditions
from seqrec.tokens.events.times import NO_TIME, NO_TIME_INPUT, TIME_COLUMN
from seqrec.tokens.events.values import UNKNOWN


def get_event_tokens(ranker: Ranker) -> EventTokens | None:
    """Return the event tokens of a ranker; None if it reads items alone."""
    return ranker.events if isinstance(ranker, ModelRanker) else None


def get_time_input(ranker: Ranker) -> str:
    """Return the time input of a ranker, for the protocol of its results."""
    events = get_event_tokens(ranker)
    return NO_TIME_INPUT if events is None else events.grammar.time_input


def has_target_times(ranker: Ranker, histories: Sequence[Int[np.ndarray, " T"]]) -> bool:
    """Return whether the time of the target is given for some history."""
    events = get_event_tokens(ranker)
    if events is None or not isinstance(histories, EventHistories):
        return False
    is_given = (histories.conditions[:, events.grammar.is_target_time] != UNKNOWN).any()
    times = histories.target_times
    return bool(is_given or (times is not None and (times != NO_TIME).any()))


def adapt_queries(ranker: Ranker, queries: Queries, prepared: PreparedData) -> Queries:
    """Return the queries as a ranker reads them: with event features if it has a grammar."""
    events = get_event_tokens(ranker)
    if events is None:
        return queries
    return queries.with_events(event_log(prepared, events.grammar), events)


def read_whole_histories(ranker: Ranker, prepared: PreparedData) -> Sequence[Int[np.ndarray, " T"]]:
    """Return all interactions of every user, as a ranker reads them."""
    events = get_event_tokens(ranker)
    log = prepared.histories() if events is None else event_log(prepared, events.grammar)
    items, cuts = log.items, log.offsets[1:-1]
    if events is None:
        return np.split(items, cuts)
    codes = np.split(events.coder.codes(log), cuts)
    times = None
    if events.grammar.times is not None:
        times = np.split(log.columns[TIME_COLUMN], cuts)
    return EventHistories(np.split(items, cuts), codes, events.no_conditions(len(codes)), times)


def with_conditions(
    ranker: Ranker, histories: Sequence[Int[np.ndarray, " T"]], conditions: Mapping[str, Any]
) -> EventHistories:
    """Return the histories with conditions of the recommended items.

    Raises:
        SeqRecError: a condition that the ranker does not know.
    """
    events = get_event_tokens(ranker)
    if events is None or not isinstance(histories, EventHistories):
        raise SeqRecError(f"condition {', '.join(conditions)}: {ranker.name} reads items only")
    codes, time = parse_conditions(events.grammar, conditions)
    target_times = histories.target_times
    if time is not None:
        target_times = np.full(len(histories), time, dtype=np.int64)
    codes = np.where(codes != UNKNOWN, codes, histories.conditions)
    return replace(histories, conditions=codes, target_times=target_times)
