"""From the ``data.events`` block to a grammar, and from a log to what a model reads of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int

from seqrec.config.events import BINGED, SELDOM, BehaviourConfig, EventsConfig
from seqrec.data.catalog import item_values
from seqrec.data.histories import Blocks, Histories
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import Queries
from seqrec.jobs.build import count_items
from seqrec.rankers import ModelRanker, Ranker
from seqrec.tokens.events import (
    EventCoder,
    EventHistories,
    EventTokens,
    is_first_of,
    log_values,
    numbered,
)
from seqrec.tokens.grammar import (
    NO_TIME,
    NO_TIME_INPUT,
    OPEN,
    SITTING_VALUES,
    TIME_COLUMN,
    Behaviour,
    Grammar,
    Sittings,
    bucket_names,
    is_missing,
    value_text,
)
from seqrec.tokens.requests import asked_of

KEY = "data.events"
TIMES_KEY = "model.time_bias"
BINGED_BEHAVIOUR = Behaviour(
    name=BINGED,
    source="sitting",
    key="",
    edges=None,
    values=SITTING_VALUES,
    place="after",
    dropout=SELDOM,
    is_learned=False,
)


def fit_coder(
    config: EventsConfig | None,
    times: Literal["past_times", "target_time"] | None,
    prepared: PreparedData,
) -> EventCoder | None:
    """The coder of a grammar, whose behaviours have the values that they have in training.

    None if the model reads titles alone.

    Args:
        config: the grammar; None if there is none.
        times: what the model's attention is told of times.
        prepared: the data.

    Raises:
        SeqRecError: a column that is not there or holds nothing, words where there are buckets,
            more values than are allowed.
    """
    if config is None:
        return None if times is None else EventCoder(Grammar((), times=times), {})
    items = prepared.items()
    sittings = _sittings(config, prepared, items.columns)
    grammar = Grammar(tuple(map(_without_values, config.behaviours)), sittings, times)
    blocks = event_blocks(prepared, grammar)
    is_trained = count_items(prepared) > 0
    fitted = [] if sittings is None else [BINGED_BEHAVIOUR]
    for behaviour, settings in zip(grammar.behaviours, config.behaviours, strict=True):
        seen = _Seen(behaviour, settings.max_values)
        if behaviour.source == "item":
            seen.add(item_values(items, behaviour.key, _key(behaviour))[is_trained])
        else:
            _add_training(seen, blocks)
        fitted.append(_with_dropped(seen.fitted(), settings.drop))
    ordered = sorted(fitted, key=_order)
    coder = EventCoder.of(Grammar(tuple(ordered), sittings, times), items, KEY)
    if sittings is not None and not _has_series(sittings, coder, blocks, is_trained):
        raise SeqRecError(f"{KEY}.sittings: nothing in training has a {sittings.key}")
    return coder


def _has_series(
    sittings: Sittings, coder: EventCoder, blocks: Blocks, is_trained: Bool[np.ndarray, " I"]
) -> bool:
    """Whether the training part knows any series."""
    if coder.item_series is not None:
        return bool((coder.item_series[is_trained] >= 0).any())
    parts = map(blocks.read, ([block] for block in range(len(blocks))))
    return any(
        (numbered(part.columns[sittings.key][part.split == TRAIN]) >= 0).any() for part in parts
    )


def _order(behaviour: Behaviour) -> tuple[bool, bool]:
    """What follows a title comes first, and of that what a sitting says last."""
    return behaviour.place == "before", behaviour.source == "sitting"


def _sittings(
    config: EventsConfig, prepared: PreparedData, item_columns: Sequence[str]
) -> Sittings | None:
    """Where the series of sittings is told: by the items if they have the column."""
    if config.sittings is None:
        return None
    series = config.sittings.series
    source: Literal["item", "column"] = "item" if series in item_columns else "column"
    for column in [TIME_COLUMN, *([series] if source == "column" else [])]:
        _check_column(prepared, column, f"{KEY}.sittings")
    return Sittings(source, series, config.sittings.gap_seconds)


def _with_dropped(behaviour: Behaviour, values: Sequence[str | float]) -> Behaviour:
    texts = tuple(map(value_text, values))
    for text in texts:
        if text not in behaviour.values:
            raise SeqRecError(
                f"{_key(behaviour)}: drop {text}: in training it is {', '.join(behaviour.values)}"
            )
    return replace(behaviour, dropped=texts)


def event_blocks(prepared: PreparedData, grammar: Grammar, *more: str) -> Blocks:
    """The log with the columns that a grammar reads, and others.

    Raises:
        SeqRecError: a column that is not there.
    """
    for behaviour in grammar.behaviours:
        if behaviour.column is not None:
            _check_column(prepared, behaviour.column, _key(behaviour))
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
    keys = [f"{KEY}.sittings"] * (grammar.sittings is not None)
    return [*keys, *map(_key, grammar.gaps), *[TIMES_KEY] * (grammar.times is not None)]


def _is_early(histories: Histories) -> Bool[np.ndarray, " N"]:
    """Whether each event is earlier than the last one of its history whose time is known."""
    times, number = histories.columns[TIME_COLUMN], np.arange(len(histories.items))
    last_known = np.maximum.accumulate(np.where(times != NO_TIME, number, -1))
    before = np.append(-1, last_known[:-1])[: len(number)]
    starts = np.maximum.accumulate(np.where(is_first_of(histories), number, 0))
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


def grammar_of(ranker: Ranker) -> EventTokens | None:
    """The events that a ranker reads; None if titles alone."""
    return ranker.events if isinstance(ranker, ModelRanker) else None


def time_input_of(ranker: Ranker) -> str:
    """What a ranker is told of times, for the protocol of its results."""
    events = grammar_of(ranker)
    return NO_TIME_INPUT if events is None else events.grammar.time_input


def is_told_when(ranker: Ranker, histories: Sequence[Int[np.ndarray, " T"]]) -> bool:
    """Whether some history is asked for a title of which a time is given."""
    events = grammar_of(ranker)
    if events is None or not isinstance(histories, EventHistories):
        return False
    is_given = (histories.asked[:, events.grammar.is_given] != OPEN).any()
    times = histories.asked_times
    return bool(is_given or (times is not None and (times != NO_TIME).any()))


def queries_for(ranker: Ranker, queries: Queries, prepared: PreparedData) -> Queries:
    """The queries as a ranker reads them: with what events tell, where it knows a grammar."""
    events = grammar_of(ranker)
    if events is None:
        return queries
    return queries.with_events(event_log(prepared, events.grammar), events)


def whole_histories(ranker: Ranker, prepared: PreparedData) -> Sequence[Int[np.ndarray, " T"]]:
    """All of each user's interactions, as a ranker reads them."""
    events = grammar_of(ranker)
    log = prepared.histories() if events is None else event_log(prepared, events.grammar)
    items, cuts = log.items, log.offsets[1:-1]
    if events is None:
        return np.split(items, cuts)
    codes = np.split(events.coder.codes(log), cuts)
    times = None
    if events.grammar.times is not None:
        times = np.split(log.columns[TIME_COLUMN], cuts)
    return EventHistories(np.split(items, cuts), codes, events.nothing_asked(len(codes)), times)


def asked_with(
    ranker: Ranker, histories: Sequence[Int[np.ndarray, " T"]], given: Mapping[str, Any]
) -> EventHistories:
    """The same histories, asked for titles of which something is given.

    Raises:
        SeqRecError: something that the ranker does not know.
    """
    events = grammar_of(ranker)
    if events is None or not isinstance(histories, EventHistories):
        raise SeqRecError(f"given {', '.join(given)}: {ranker.name} reads titles alone")
    codes, time = asked_of(events.grammar, given)
    asked_times = histories.asked_times
    if time is not None:
        asked_times = np.full(len(histories), time, dtype=np.int64)
    asked = np.where(codes != OPEN, codes, histories.asked)
    return replace(histories, asked=asked, asked_times=asked_times)


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


def _without_values(config: BehaviourConfig) -> Behaviour:
    sources = {"column": config.column, "item": config.item, "time": config.time}
    source, key = next((name, key) for name, key in sources.items() if key is not None)
    return Behaviour(
        name=config.name,
        source=source,  # type: ignore[arg-type]
        key=str(key),
        edges=None if config.buckets is None else tuple(config.buckets),
        values=(),
        place=config.place,
        dropout=config.open_share,
        is_learned=config.is_learned,
    )


def _key(behaviour: Behaviour) -> str:
    return f"{KEY}: behaviour {behaviour.name}"


def _add_training(seen: "_Seen", blocks: Blocks) -> None:
    for block in range(len(blocks)):
        histories = blocks.read([block])
        seen.add(log_values(seen.behaviour, histories)[histories.split == TRAIN])


class _Seen:
    """Values of a behaviour, as far as they were met."""

    def __init__(self, behaviour: Behaviour, max_values: int) -> None:
        self.behaviour = behaviour
        self.max_values = max_values
        self.values: set[float | str] = set()
        self.buckets: set[int] = set()

    def add(self, values: np.ndarray) -> None:
        known = [value for value in np.unique(values).tolist() if not is_missing(value)]
        if self.behaviour.edges is None:
            self.values.update(known)
            count = len(self.values)
        else:
            numbers = self.behaviour.numbers(np.array(known, dtype=values.dtype))
            places = np.searchsorted(self.behaviour.edges, numbers, side="right")
            self.buckets.update(places.tolist())
            count = len(self.buckets)
        if count > self.max_values:
            raise SeqRecError(
                f"{_key(self.behaviour)}: has more than {self.max_values} values in training; "
                "give buckets, or a larger max_values"
            )

    def fitted(self) -> Behaviour:
        """The behaviour with what was met, in order."""
        edges = self.behaviour.edges
        if edges is None:
            texts = [value_text(value) for value in sorted(self.values)]  # type: ignore[type-var]
            values = list(dict.fromkeys(texts))
        else:
            names = bucket_names(edges)
            values = [names[place] for place in sorted(self.buckets)]
        if not values:
            raise SeqRecError(f"{_key(self.behaviour)}: nothing is known of it in training")
        return replace(self.behaviour, values=tuple(values))
