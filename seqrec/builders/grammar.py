"""From the ``data.events`` block to a grammar, and from a log to what a model reads of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Bool

from seqrec.builders.model import count_items
from seqrec.config.events import BINGED, DROPOUT_AFTER, EventsConfig, FeatureConfig
from seqrec.data.histories import Blocks
from seqrec.data.item_columns import item_values
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError
from seqrec.tokens.events.coder import EventCoder, log_values, number_values
from seqrec.tokens.events.features import SESSION_VALUES, Feature
from seqrec.tokens.events.grammar import Grammar, Sessions
from seqrec.tokens.events.log import EVENTS_KEY, check_column, event_blocks, feature_key
from seqrec.tokens.events.times import TIME_COLUMN
from seqrec.tokens.events.values import bucket_names, is_missing, value_text

BINGED_FEATURE = Feature(
    name=BINGED,
    source="session",
    key="",
    edges=None,
    values=SESSION_VALUES,
    place="after",
    dropout=DROPOUT_AFTER,
    is_learned=False,
)


def fit_coder(
    config: EventsConfig | None,
    times: Literal["past_times", "target_time"] | None,
    prepared: PreparedData,
) -> EventCoder | None:
    """The coder of a grammar, whose features have the values that they have in training.

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
    sessions = _sessions(config, prepared, items.columns)
    grammar = Grammar(tuple(map(_without_values, config.features)), sessions, times)
    blocks = event_blocks(prepared, grammar)
    is_trained = count_items(prepared) > 0
    fitted = [] if sessions is None else [BINGED_FEATURE]
    for feature, settings in zip(grammar.features, config.features, strict=True):
        seen = _Seen(feature, settings.max_values)
        if feature.source == "item":
            seen.add(item_values(items, feature.key, feature_key(feature))[is_trained])
        else:
            _add_training(seen, blocks)
        fitted.append(_with_dropped(seen.fitted(), settings.drop))
    ordered = sorted(fitted, key=_order)
    coder = EventCoder.of(Grammar(tuple(ordered), sessions, times), items, EVENTS_KEY)
    if sessions is not None and not _has_series(sessions, coder, blocks, is_trained):
        raise SeqRecError(f"{EVENTS_KEY}.sessions: nothing in training has a {sessions.key}")
    return coder


def _has_series(
    sessions: Sessions, coder: EventCoder, blocks: Blocks, is_trained: Bool[np.ndarray, " I"]
) -> bool:
    """Whether the training part knows any series."""
    if coder.item_series is not None:
        return bool((coder.item_series[is_trained] >= 0).any())
    parts = map(blocks.read, ([block] for block in range(len(blocks))))
    return any(
        (number_values(part.columns[sessions.key][part.split == TRAIN]) >= 0).any()
        for part in parts
    )


def _order(feature: Feature) -> tuple[bool, bool]:
    """What follows a title comes first, and of that what a session says last."""
    return feature.place == "before", feature.source == "session"


def _sessions(
    config: EventsConfig, prepared: PreparedData, item_columns: Sequence[str]
) -> Sessions | None:
    """Where the series of sessions is told: by the items if they have the column."""
    if config.sessions is None:
        return None
    series = config.sessions.series
    source: Literal["item", "column"] = "item" if series in item_columns else "column"
    for column in [TIME_COLUMN, *([series] if source == "column" else [])]:
        check_column(prepared, column, f"{EVENTS_KEY}.sessions")
    return Sessions(source, series, config.sessions.gap_seconds)


def _with_dropped(feature: Feature, values: Sequence[str | float]) -> Feature:
    texts = tuple(map(value_text, values))
    for text in texts:
        if text not in feature.values:
            raise SeqRecError(
                f"{feature_key(feature)}: drop {text}: in training it is "
                f"{', '.join(feature.values)}"
            )
    return replace(feature, dropped=texts)


def _without_values(config: FeatureConfig) -> Feature:
    sources = {"column": config.column, "item": config.item, "time": config.time}
    source, key = next((name, key) for name, key in sources.items() if key is not None)
    return Feature(
        name=config.name,
        source=source,  # type: ignore[arg-type]
        key=str(key),
        edges=None if config.buckets is None else tuple(config.buckets),
        values=(),
        place=config.place,
        dropout=config.dropout_rate,
        is_learned=config.is_learned,
    )


def _add_training(seen: "_Seen", blocks: Blocks) -> None:
    for block in range(len(blocks)):
        histories = blocks.read([block])
        seen.add(log_values(seen.feature, histories)[histories.split == TRAIN])


class _Seen:
    """Values of a feature, as far as they were met."""

    def __init__(self, feature: Feature, max_values: int) -> None:
        self.feature = feature
        self.max_values = max_values
        self.values: set[float | str] = set()
        self.buckets: set[int] = set()

    def add(self, values: np.ndarray) -> None:
        known = [value for value in np.unique(values).tolist() if not is_missing(value)]
        if self.feature.edges is None:
            self.values.update(known)
            count = len(self.values)
        else:
            numbers = self.feature.numbers(np.array(known, dtype=values.dtype))
            places = np.searchsorted(self.feature.edges, numbers, side="right")
            self.buckets.update(places.tolist())
            count = len(self.buckets)
        if count > self.max_values:
            raise SeqRecError(
                f"{feature_key(self.feature)}: has more than {self.max_values} values in training; "
                "give buckets, or a larger max_values"
            )

    def fitted(self) -> Feature:
        """The feature with what was met, in order."""
        edges = self.feature.edges
        if edges is None:
            texts = [value_text(value) for value in sorted(self.values)]  # type: ignore[type-var]
            values = list(dict.fromkeys(texts))
        else:
            names = bucket_names(edges)
            values = [names[place] for place in sorted(self.buckets)]
        if not values:
            raise SeqRecError(f"{feature_key(self.feature)}: nothing is known of it in training")
        return replace(self.feature, values=tuple(values))
