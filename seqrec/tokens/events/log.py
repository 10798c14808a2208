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

KEY = "data.events"
TIMES_KEY = "model.time_bias"


def event_blocks(prepared: PreparedData, grammar: Grammar, *more: str) -> Blocks:
    """The log with the columns that a grammar reads, and others.

    Raises:
        SeqRecError: a column that is not there.
    """
    for feature in grammar.features:
        if feature.column is not None:
            _check_column(prepared, feature.column, _key(feature))
    return prepared.blocks(list(dict.fromkeys([*more, *grammar.columns])), has_words=True)


def check_times(prepared: PreparedData, grammar: Grammar) -> None:
    """See that a grammar which counts the time between events can be learned.

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
            f"{keys[0]}: the training part of {blocks.file} has no times; leave it out"
        )
    if num_early:
        raise SeqRecError(_early(keys[0], num_early, blocks.file, "leave it out"))


def _counters_of_time(grammar: Grammar) -> list[str]:
    """What of a grammar counts the time between events."""
    keys = [f"{KEY}.sessions"] * (grammar.sessions is not None)
    return [*keys, *map(_key, grammar.gaps), *[TIMES_KEY] * (grammar.times is not None)]


def _is_early(histories: Histories) -> Bool[np.ndarray, " N"]:
    """Whether each event is earlier than the last one of its history whose time is known."""
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


def _check_column(prepared: PreparedData, column: str, key: str) -> None:
    try:
        prepared.blocks([column], has_words=True)
    except SeqRecError as error:
        raise SeqRecError(f"{key}: {error}") from error


def event_log(prepared: PreparedData, grammar: Grammar) -> Histories:
    """``event_blocks``, all of them in memory.

    Raises:
        SeqRecError: a column that is not there, no times where the model has a time bias, times
            out of order where it counts them.
    """
    event_blocks(prepared, grammar)
    log = prepared.histories(grammar.columns, has_words=True)
    keys = _counters_of_time(grammar)
    num_early = int(_is_early(log).sum()) if keys else 0
    if num_early:
        raise SeqRecError(_early(keys[0], num_early, prepared.path, "name another model"))
    if grammar.times is not None and (log.columns[TIME_COLUMN] == NO_TIME).all():
        raise SeqRecError(f"{prepared.path}: has no times, which the model reads ({TIMES_KEY})")
    return log


def _key(feature: Feature) -> str:
    return f"{KEY}: feature {feature.name}"
