"""Random logs for a model: the rows that training reads, and the requests that clients send."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.events.features import NO, Feature
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.events.times import MICROSECONDS, TIME_COLUMN
from seqrec.tokens.events.values import UNKNOWN, parse_number
from seqrec.tokens.streams.examples import shorten_log

MISSING_SHARE, UNKNOWN_SHARE = 0.1, 0.05
"""Share of missing values, and of ids in requests that the catalog lacks."""
FIRST_SECOND, LONGEST_GAP_LOG = 1_000_000_000, 16.0
NUM_SERIES = 3


class DrawnLog(NamedTuple):
    """Histories of random items, each followed by a target."""

    histories: Histories
    """The rows of a log; the last row of each history is the target."""
    codes: Int[np.ndarray, "N C"] | None
    """Feature codes of every row; None for a model that reads items alone."""
    requests: list[list[str | Mapping[str, Any]]]
    """The rows before each target, as a client writes them, with unknown ids between."""

    @property
    def targets(self) -> Int[np.ndarray, " H"]:
        """The row of every target."""
        return self.histories.offsets[1:] - 1

    def shortened(self, grammar: Grammar) -> "DrawnLog":
        """Return the log as training shortens it: sessions merged, events dropped."""
        if self.codes is None or not grammar.shortens_histories:
            return self
        histories, codes, _ = shorten_log(self.histories, self.codes, grammar)
        return self._replace(histories=histories, codes=codes)


def draw_log(
    recommender: Recommender,
    lengths: Sequence[int],
    unknown_ids: Sequence[str],
    generator: np.random.Generator,
) -> DrawnLog:
    """Draw histories of given lengths, targets not counted.

    Args:
        recommender: the model and its catalog.
        lengths: events before the target of each history.
        unknown_ids: ids that the catalog lacks, for requests.
        generator: draws everything.
    """
    offsets = np.concatenate([[0], np.cumsum(np.asarray(lengths, dtype=np.int64) + 1)])
    size = int(offsets[-1])
    items = generator.integers(len(recommender.item_ids), size=size)
    split = np.full(size, TRAIN, dtype=np.uint8)
    histories = Histories(offsets.astype(np.int64), items.astype(np.int32), split)
    codes, columns = None, {}
    if recommender.events is not None:
        coder = recommender.events.coder
        columns = _draw_columns(coder.grammar, size, generator)
        histories = replace(histories, columns=columns)
        codes = coder.codes(histories)
        _free_targets(codes, offsets[1:] - 1, coder.grammar)
    requests = []
    for start, end in zip(offsets[:-1].tolist(), (offsets[1:] - 1).tolist(), strict=True):
        events: list[Any] = [
            _write_event(recommender.item_ids[items[row]], columns, row)
            for row in range(start, end)
        ]
        if unknown_ids and generator.random() < UNKNOWN_SHARE:
            place = int(generator.integers(len(events) + 1))
            events.insert(place, unknown_ids[int(generator.integers(len(unknown_ids)))])
        requests.append(events)
    return DrawnLog(histories, codes, requests)


def _draw_columns(
    grammar: Grammar, size: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return random values of every column of the log that a grammar reads."""
    columns: dict[str, np.ndarray] = {}
    for name in grammar.columns:
        readers = [one for one in grammar.features if one.column == name]
        if name == TIME_COLUMN:
            gaps = np.exp(generator.uniform(0, LONGEST_GAP_LOG, size)).astype(np.int64)
            columns[name] = (FIRST_SECOND + np.cumsum(gaps)) * MICROSECONDS
        elif readers:
            columns[name] = _draw_values(readers, size, generator)
        else:
            columns[name] = np.array([f"s{n}" for n in generator.integers(NUM_SERIES, size=size)])
    return columns


def _draw_values(
    readers: Sequence[Feature], size: int, generator: np.random.Generator
) -> np.ndarray:
    """Return random values of a column that all of its features can read; some are missing."""
    feature = readers[0]
    spelled = [_spell(feature, value) for value in feature.values]
    numbers = [parse_number(one) for one in spelled]
    is_number = None not in numbers
    choices: list[Any] = [*numbers] if is_number else [*spelled]
    missing: Any = float("nan") if is_number else ""
    drawn = generator.integers(len(choices), size=size)
    is_missing = generator.random(size) < MISSING_SHARE
    values = [missing if lacks else choices[n] for n, lacks in zip(drawn, is_missing, strict=True)]
    return np.array(values, dtype=np.float64 if is_number else str)


def _spell(feature: Feature, value: str) -> str | float:
    """Return a value of the log that has a feature's value; of a bucket, its lower edge."""
    if feature.edges is None:
        return value
    lower, _, upper = value.partition("..")
    return float(lower) if lower else float(upper) - 1


def _free_targets(
    codes: Int[np.ndarray, "N C"], targets: Int[np.ndarray, " H"], grammar: Grammar
) -> None:
    """Make every target a separate event that no rule drops, in place.

    Training may merge a target with the session before it, which no request can tell.
    """
    for number, feature in enumerate(grammar.features):
        here = codes[targets, number]
        if feature.source == "session":
            codes[targets, number] = NO
        elif feature.dropped:
            is_dropped = np.isin(here, feature.dropped_codes)
            codes[targets, number] = np.where(is_dropped, UNKNOWN, here)


def _write_event(
    item_id: str, columns: Mapping[str, np.ndarray], row: int
) -> str | Mapping[str, Any]:
    """Return an event of a request; a bare id where the model reads nothing else."""
    event: dict[str, Any] = {"item_id": item_id}
    for name, values in columns.items():
        value = values[row].item()
        if name == TIME_COLUMN:
            event[name] = value // MICROSECONDS
        elif value == value and value != "":
            event[name] = value
    return event if columns else item_id
