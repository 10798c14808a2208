"""The comparison of two rankers on the same histories: their scores, and their lists."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from seqrec.errors import SeqRecError
from seqrec.ranking.list_rules import select_histories
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.ranker import Ranker
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.times import MICROSECONDS

TOLERANCE = 1e-4
"""Largest difference of two logits."""
NUM_HISTORIES = 1000
LIST_LENGTH = 10
FIRST_TIME = 1_000_000_000
"""Seconds since 1970 at which drawn histories start."""


class Parity(NamedTuple):
    """The agreement of two rankers."""

    histories: int
    max_logit_difference: float
    k: int
    """Length of the compared lists, without seen items."""
    identical_lists: int
    """Lists with the same items in the same order. In all others, items whose scores differ by no
    more than the tolerance have changed places."""


def compare(one: Ranker, other: Ranker, histories: Sequence[Int[np.ndarray, " T"]]) -> Parity:
    """Return how far two rankers agree on the whole catalog.

    Raises:
        SeqRecError: logits that differ by more than the tolerance.
    """
    largest, size = 0.0, one.batch_size
    for start in range(0, len(histories), size):
        batch = histories[start : start + size]
        tiles = one.score_tiles(batch), other.score_tiles(batch)
        for first in range(0, one.num_items, one.tile_items):
            last = min(first + one.tile_items, one.num_items)
            mine, theirs = (tile(first, last) for tile in tiles)
            largest = max(largest, float((mine - theirs).abs().max()))
    if not largest <= TOLERANCE:
        raise SeqRecError(
            f"--to onnx: logits of {one.name} differ from PyTorch's by {largest:.2g} (at most "
            f"{TOLERANCE:g}): this model cannot be exported; export its vectors with --to parquet"
        )
    k = min(LIST_LENGTH, one.num_items)
    lists = one.rank(histories, k).items, other.rank(histories, k).items
    identical = int((lists[0] == lists[1]).all(dim=1).sum())
    return Parity(len(histories), largest, k, identical)


def sample(histories: Sequence[Int[np.ndarray, " T"]]) -> Sequence[Int[np.ndarray, " T"]]:
    """Return evenly spaced histories."""
    rows = np.linspace(0, len(histories) - 1, min(len(histories), NUM_HISTORIES))
    return select_histories(histories, rows.round().astype(int))


def draw(ranker: ModelRanker) -> Sequence[Int[np.ndarray, " T"]]:
    """Return random histories of all lengths that a model reads, with random features and times."""
    generator = np.random.default_rng(0)
    longest = ranker.model.config.max_length + 1
    lengths = generator.integers(0, longest, size=NUM_HISTORIES, endpoint=True)
    items = [generator.integers(ranker.num_items, size=length) for length in lengths]
    events = ranker.events
    if events is None:
        return items
    known = events.without_features(items)
    codes, sizes = [], [feature.num_codes for feature in events.grammar.features]
    from_item = np.array([one.source == "item" for one in events.grammar.features], dtype=bool)
    for own in known.codes:
        drawn = generator.integers(0, np.array(sizes, dtype=np.int64), size=own.shape)
        codes.append(np.where(from_item, own, drawn).astype(own.dtype))
    times = None
    if events.grammar.times is not None:
        times = [
            (FIRST_TIME + np.cumsum(np.exp(generator.uniform(0, 20, length)).astype(np.int64)))
            * MICROSECONDS
            for length in lengths
        ]
    return EventHistories(items, codes, known.conditions, times)
