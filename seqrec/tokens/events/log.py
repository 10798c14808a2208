"""The log with the columns that an event grammar reads, checked and joined."""

import numpy as np
from jaxtyping import Bool

from seqrec.data.histories import Blocks, Histories
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError
from seqrec.tokens.events.coder import is_history_start
from seqrec.tokens.events.features import Feature
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.events.times import NO_TIME, TIME_COLUMN

EVENTS_KEY = "data.events"
TIME_BIAS_KEY = "model.time_bias"


def event_blocks(prepared: PreparedData, grammar: Grammar, *more: str) -> Blocks:
    """Return the blocks of the log with the columns that a grammar reads, and others.

    Raises:
        SeqRecError: a column is missing.
    """
    for feature in grammar.features:
        if feature.column is not None:
            check_column(prepared, feature.column, feature_key(feature))
    return prepared.blocks(list(dict.fromkeys([*more, *grammar.columns])), has_words=True)


def check_times(prepared: PreparedData, grammar: Grammar) -> None:
    """Check that the log has the times that a grammar needs.

    Raises:
        SeqRecError: the training part has no times, or they are out of order.
    """
    keys = _counters_of_time(grammar)
    if not keys:
        return
    blocks = prepared.blocks([TIME_COLUMN])
    num_known = num_early = 0
    for block in range(len(blocks)):
        histories = blocks.read([block])
        is_known = histories.columns[TIME_COLUMN] != NO_TIME
        is_trained = histories.split == TRAIN
        num_known += int((is_known & is_trained).sum())
        num_early += int((_is_early(histories) & is_trained).sum())
    if not num_known:
        raise SeqRecError(
            f"{keys[0]}: the training part of {blocks.file} has no times; remove the setting"
        )
    if num_early:
        raise SeqRecError(_early(keys[0], num_early, blocks.file, "remove the setting"))


def _counters_of_time(grammar: Grammar) -> list[str]:
    """Return the keys of the settings that depend on the time between events."""
    keys = [f"{EVENTS_KEY}.sessions"] * (grammar.sessions is not None)
    return [*keys, *map(feature_key, grammar.gaps), *[TIME_BIAS_KEY] * (grammar.times is not None)]


def _is_early(histories: Histories) -> Bool[np.ndarray, " N"]:
    """Return whether each event is earlier than the last one before it whose time is known."""
    times, number = histories.columns[TIME_COLUMN], np.arange(len(histories.items))
    last_known = np.maximum.accumulate(np.where(times != NO_TIME, number, -1))
    before = np.append(-1, last_known[:-1])[: len(number)]
    starts = np.maximum.accumulate(np.where(is_history_start(histories), number, 0))
    is_own = (before >= starts) & (times != NO_TIME)
    return is_own & (times < times[before])


def _early(key: str, num_early: int, file: object, instead: str) -> str:
    return (
        f"{key}: {num_early:,} events of {file} are earlier than the one before them; prepare "
        f"without --order, or {instead}"
    )


def check_column(prepared: PreparedData, column: str, key: str) -> None:
    try:
        prepared.blocks([column], has_words=True)
    except SeqRecError as error:
        raise SeqRecError(f"{key}: {error}") from error


def event_log(prepared: PreparedData, grammar: Grammar) -> Histories:
    """Return the whole log with the columns that a grammar reads.

    Raises:
        SeqRecError: a column is missing, the model needs times and the log has none, or times
            are out of order.
    """
    event_blocks(prepared, grammar)
    log = prepared.histories(grammar.columns, has_words=True)
    keys = _counters_of_time(grammar)
    num_early = int(_is_early(log).sum()) if keys else 0
    if num_early:
        raise SeqRecError(_early(keys[0], num_early, prepared.path, "name another model"))
    if grammar.times is not None and (log.columns[TIME_COLUMN] == NO_TIME).all():
        raise SeqRecError(
            f"{prepared.path}: has no times, which the model reads ({TIME_BIAS_KEY}); "
            "use data with times"
        )
    return log


def feature_key(feature: Feature) -> str:
    return f"{EVENTS_KEY}: feature {feature.name}"
