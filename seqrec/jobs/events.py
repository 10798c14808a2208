"""From the ``data.events`` block to a grammar, and from a log to what a model reads of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from seqrec.config.events import BINGED, SELDOM, BehaviourConfig, EventsConfig
from seqrec.data.catalog import item_values
from seqrec.data.histories import Blocks, Histories
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import Queries
from seqrec.jobs.build import count_items
from seqrec.recommender import ModelRanker, Ranker
from seqrec.tokens.events import (
    EventCoder,
    EventHistories,
    EventTokens,
    is_first_of,
    log_values,
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
    time_values,
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
    return EventCoder.of(Grammar(tuple(ordered), sittings, times), items, KEY)


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
    keys = [f"{KEY}.sittings"] * (grammar.sittings is not None)
    keys += [*map(_key, grammar.gaps), *[TIMES_KEY] * (grammar.times is not None)]
    if not keys:
        return
    blocks = prepared.blocks([TIME_COLUMN])
    num_known = num_early = 0
    for block in range(len(blocks)):
        histories = blocks.read([block])
        is_known = histories.columns[TIME_COLUMN] != NO_TIME
        gaps = time_values(histories.columns[TIME_COLUMN], is_first_of(histories), "gap")
        is_trained = histories.split == TRAIN
        num_known += int((is_known & is_trained).sum())
        num_early += int((gaps[is_trained] < 0).sum())
    if not num_known:
        raise SeqRecError(
            f"{keys[0]}: the training part of {blocks.file} has no times; leave it out"
        )
    if num_early:
        raise SeqRecError(
            f"{keys[0]}: {num_early:,} events of {blocks.file} are earlier than the one before "
            "them; prepare without --order, or leave it out"
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
        SeqRecError: a column that is not there, no times where the model has a time bias.
    """
    event_blocks(prepared, grammar)
    log = prepared.histories(grammar.columns, has_words=True)
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
