"""Fit event features to a log: the grammar of the ``data.events`` block and its vocabularies."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool

from seqrec.builders.feature_values import FeatureValues, mark_dropped
from seqrec.builders.model import count_items
from seqrec.config.events import BINGED, DROPOUT_AFTER, EventsConfig, FeatureConfig
from seqrec.data.histories import Blocks
from seqrec.data.item_columns import item_values
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError
from seqrec.tokens.events.coder import EventCoder, number_values
from seqrec.tokens.events.features import SESSION_VALUES, Feature
from seqrec.tokens.events.grammar import Grammar, Sessions
from seqrec.tokens.events.log import EVENTS_KEY, check_column, event_blocks, feature_key
from seqrec.tokens.events.times import TIME_COLUMN

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
    """Return the coder of the event features, with the values that occur in training.

    It is None if the model reads items only.

    Args:
        config: the ``data.events`` block, if there is one.
        times: the times that the attention's time bias reads; None without a time bias.
        prepared: the data.

    Raises:
        SeqRecError: a missing or empty column, words in a feature with buckets, or too many
            values.
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
        values = FeatureValues(feature, settings.max_values)
        if feature.source == "item":
            values.add(item_values(items, feature.key, feature_key(feature))[is_trained])
        else:
            values.add_training(blocks)
        fitted.append(mark_dropped(values.to_feature(), settings.drop))
    ordered = sorted(fitted, key=_order)
    coder = EventCoder.of(Grammar(tuple(ordered), sessions, times), items, EVENTS_KEY)
    if sessions is not None and not _has_series(sessions, coder, blocks, is_trained):
        raise SeqRecError(
            f"{EVENTS_KEY}.sessions: no training item has a {sessions.key}; name another column"
        )
    return coder


def _has_series(
    sessions: Sessions, coder: EventCoder, blocks: Blocks, is_trained: Bool[np.ndarray, " I"]
) -> bool:
    """Test whether any item of the training part has a series."""
    if coder.item_series is not None:
        return bool((coder.item_series[is_trained] >= 0).any())
    parts = map(blocks.read, ([block] for block in range(len(blocks))))
    return any(
        (number_values(part.columns[sessions.key][part.split == TRAIN]) >= 0).any()
        for part in parts
    )


def _order(feature: Feature) -> tuple[bool, bool]:
    """Sort key: features after the item come first, and among them that of sessions last."""
    return feature.place == "before", feature.source == "session"


def _sessions(
    config: EventsConfig, prepared: PreparedData, item_columns: Sequence[str]
) -> Sessions | None:
    """Return the sessions of the grammar; the series is a column of the items, else of the log."""
    if config.sessions is None:
        return None
    series = config.sessions.series
    source: Literal["item", "column"] = "item" if series in item_columns else "column"
    for column in [TIME_COLUMN, *([series] if source == "column" else [])]:
        check_column(prepared, column, f"{EVENTS_KEY}.sessions")
    return Sessions(source, series, config.sessions.gap_seconds)


def _without_values(config: FeatureConfig) -> Feature:
    """Return the feature of a config, with an empty vocabulary."""
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
