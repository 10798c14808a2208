"""Packed batches of rated histories: every rated title is a candidate, told what was before it.

A stretch of ``n`` titles takes ``n`` positions: a start, which holds no title, then all titles but
the last, each with its rating. At every position the title that comes next is the candidate; of
that title the model is told the name alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN
from seqrec.tokens.packing import Placement, pack_rows, place_windows
from seqrec.tokens.stream import Place
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.tokens.windows import Windows, training_windows

START, MISSING = 0, 1
"""Rows of the rating embedding: what no title stands at, and a title without a rating."""
FIRST_LEVEL = 2
"""Row of the lowest rating."""
MAX_LEVELS = 64


def rating_levels(ratings: Float[np.ndarray, " N"]) -> list[float]:
    """The ratings that a log knows, in order; if they are many, that many quantiles of them."""
    known = np.unique(ratings[~np.isnan(ratings)])
    if len(known) > MAX_LEVELS:
        known = np.unique(np.nanquantile(ratings, np.linspace(0, 1, MAX_LEVELS)))
    return known.tolist()


def rating_rows(ratings: Float[np.ndarray, " N"], levels: Sequence[float]) -> Int[np.ndarray, " N"]:
    """The row of every rating's embedding: that of the nearest level, or of none."""
    steps = np.asarray(levels, dtype=np.float64)
    nearest = np.searchsorted((steps[1:] + steps[:-1]) / 2, ratings, side="right")
    return np.where(np.isnan(ratings), MISSING, nearest + FIRST_LEVEL).astype(np.int64)


@dataclass(frozen=True)
class RatedEvents:
    """The training parts of all users, end to end."""

    items: Int[np.ndarray, " N"]
    ratings: Float[np.ndarray, " N"]
    """NaN where there is none."""
    users: Int[np.ndarray, " N"]
    starts: Int[np.ndarray, " U"]
    """The first event of every user."""
    ends: Int[np.ndarray, " U"]
    """One past the last."""

    @classmethod
    def of(cls, histories: Histories) -> "RatedEvents":
        """What stands in the training part of histories that come with their ratings."""
        in_training = histories.split == TRAIN
        so_far = np.concatenate([[0], np.cumsum(in_training)])[histories.offsets]
        users = np.repeat(np.arange(len(so_far) - 1), np.diff(so_far))
        return cls(
            histories.items[in_training].astype(np.int64),
            histories.columns["rating"][in_training],
            users,
            so_far[:-1],
            so_far[1:],
        )

    @cached_property
    def is_rated(self) -> Bool[np.ndarray, " N"]:
        """The events that a model is asked about."""
        return ~np.isnan(self.ratings)


class PackedHistories(NamedTuple):
    """Histories read from a start on, and where each stands."""

    input_ids: Int[np.ndarray, "B T"]
    ratings: Int[np.ndarray, "B T"]
    documents: Int[np.ndarray, "B T"]
    placement: Placement
    """Of the events, each at the position before it."""


def pack_rated(
    items: Int[np.ndarray, " N"],
    rating_rows: Int[np.ndarray, " N"],
    windows: Windows,
    rows: Sequence[Sequence[int]],
    tokens: ItemTokens,
    row_length: int,
) -> PackedHistories:
    """The windows of some rows: a start each, then all their events but the last.

    Args:
        items: of the events.
        rating_rows: rows of the rating embedding.
        windows: stretches of the events.
        rows: the windows of every row, which fit in it.
        tokens: from items to tokens.
        row_length: positions of a row.
    """
    shape = (max(len(rows), 1), row_length)
    placement = place_windows(windows, rows, row_length)
    lengths = windows.lengths[[window for row in rows for window in row]].astype(np.int64)
    is_start = np.zeros(len(placement.source), dtype=bool)
    is_start[np.cumsum(lengths) - lengths] = True
    before = placement.source - 1
    input_ids = np.full(shape, tokens.pad_token_id, dtype=np.int64)
    ratings = np.full(shape, START, dtype=np.int64)
    documents = np.zeros(shape, dtype=np.int64)
    past = np.where(is_start, tokens.pad_token_id, tokens.encode(items[before]))
    input_ids.flat[placement.place] = past
    ratings.flat[placement.place] = np.where(is_start, START, rating_rows[before])
    documents.flat[placement.place] = placement.document
    return PackedHistories(input_ids, ratings, documents, placement)


def pack_prompts(
    histories: Sequence[Int[np.ndarray, " T"]],
    rating_rows: Sequence[Int[np.ndarray, " T"]],
    tokens: ItemTokens,
    max_length: int,
) -> tuple[PackedHistories, Int[np.ndarray, " B"]]:
    """Histories as ``RatedStream`` packs them, their last ``max_length - 1`` titles.

    Returns:
        The rows, and for every document, row by row, which of the histories it is.
    """
    lengths = np.array([len(history) + 1 for history in histories], dtype=np.int64)
    asked = np.zeros(1, dtype=np.int64)  # stands for the candidate, which is not read
    items = np.concatenate([part for history in histories for part in (history, asked)])
    ratings = np.concatenate([part for of in rating_rows for part in (of, asked)])
    read = np.minimum(lengths, max_length)
    windows = Windows(np.cumsum(lengths) - read, read, np.zeros_like(read))
    rows = pack_rows(read, int(read.max()))
    packed = pack_rated(items, ratings, windows, rows, tokens, int(read.max()))
    return packed, np.array([window for row in rows for window in row], dtype=np.int64)


class RatedBatch(NamedTuple):
    """Packed histories with their ratings, and what is asked after each position."""

    input_ids: Int[np.ndarray, "B T"]
    ratings: Int[np.ndarray, "B T"]
    """Rows of the rating embedding."""
    documents: Int[np.ndarray, "B T"]
    """Number of the window within its row, from 1; 0 is padding."""
    candidates: Int[np.ndarray, "B T"]
    """The item that comes next; ``ignore_index`` where nothing is asked."""
    labels: Float[np.ndarray, "B T"]
    """1 where it was liked, else 0."""
    events: Int[np.ndarray, "B T"]
    """Which event the candidate is; -1 where nothing is asked."""
    total_weight: float
    """Of the candidates, of all processes together, over the number of processes."""


class RatedStream:
    """Batches of some users' histories; every choice follows from seed and place."""

    def __init__(
        self,
        events: RatedEvents,
        users: Int[np.ndarray, " U"],
        tokens: ItemTokens,
        *,
        levels: Sequence[float],
        liked: float,
        row_length: int,
        batch_size: int,
        ignore_index: int,
        seed: int = 0,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        """Lay the windows out.

        A history that is longer than a row is read in windows that overlap by half; an event is
        asked about in the first window that holds it.

        Args:
            events: all of a log.
            users: those whose events are asked about.
            tokens: from items to tokens.
            levels: ratings, in order, that have an embedding.
            liked: least rating of a title that is liked.
            row_length: positions of a row, and events that a window holds.
            batch_size: rows of a batch, all processes together.
            ignore_index: the candidate where nothing is asked.
            seed: of the order.
            rank: which of the processes this is; it gets every ``num_ranks``-th row of a batch.
            num_ranks: processes that train together.
        """
        self.events = events
        self.tokens = tokens
        self.rating_rows = rating_rows(events.ratings, levels)
        self.labels = (events.ratings >= liked).astype(np.float32)
        self.row_length = row_length
        self.batch_size = batch_size
        self.ignore_index = ignore_index
        self.seed = seed
        self.rank = rank
        self.num_ranks = num_ranks
        windows = training_windows(
            events.starts[users],
            events.ends[users] + 1,  # every event is asked about, also the first one
            max_length=row_length,
            which="all",
            stride=-(-row_length // 2),
        )
        self.num_rated = _num_rated(windows, events.is_rated)
        """Candidates of every window."""
        is_asked = self.num_rated > 0
        self.windows = Windows(*(part[is_asked] for part in windows))
        self.num_rated = self.num_rated[is_asked]
        self._fixed_rows = pack_rows(self.windows.lengths, row_length)
        self.num_batches = -(-len(self._fixed_rows) // batch_size)
        """Batches of an epoch, the same in every epoch and process."""

    def batches(self, place: Place) -> Iterator[tuple[Place, RatedBatch]]:
        """The batches from a place to the end of its epoch, each with the place after it."""
        generator = np.random.default_rng((self.seed, place.epoch))
        order = generator.permutation(len(self.windows.starts))
        rows = pack_rows(self.windows.lengths[order], self.row_length)
        generator.shuffle(rows)
        rows = [order[row].tolist() for row in rows]
        cuts = np.linspace(0, len(rows), self.num_batches + 1).round().astype(int)
        for batch in range(place.batch, self.num_batches):
            is_last = batch + 1 == self.num_batches
            after = Place(place.epoch + 1) if is_last else Place(place.epoch, 0, batch + 1)
            yield after, self._part(rows[cuts[batch] : cuts[batch + 1]])

    def in_order(self) -> Iterator[RatedBatch]:
        """All events once, in an order that does not change."""
        for first in range(0, len(self._fixed_rows), self.batch_size):
            yield self._batch(self._fixed_rows[first : first + self.batch_size])

    def _part(self, rows: Sequence[Sequence[int]]) -> RatedBatch:
        """This process's part of a batch, which knows what the whole weighs."""
        total = sum(int(self.num_rated[row].sum()) for row in rows)
        batch = self._batch(rows[self.rank :: self.num_ranks])
        return batch._replace(total_weight=total / self.num_ranks)

    def _batch(self, rows: Sequence[Sequence[int]]) -> RatedBatch:
        shape = (max(len(rows), 1), self.row_length)
        events = self.events
        packed = pack_rated(
            events.items, self.rating_rows, self.windows, rows, self.tokens, self.row_length
        )
        placement = packed.placement
        place, event = placement.place, placement.source
        is_asked = events.is_rated[event] & ~placement.is_context
        place, event = place[is_asked], event[is_asked]
        asked = np.full(shape, -1, dtype=np.int64)
        candidates = np.full(shape, self.ignore_index, dtype=np.int64)
        labels = np.zeros(shape, dtype=np.float32)
        asked.flat[place] = event
        candidates.flat[place] = events.items[event]
        labels.flat[place] = self.labels[event]
        return RatedBatch(
            packed.input_ids,
            packed.ratings,
            packed.documents,
            candidates,
            labels,
            asked,
            float(len(event)),
        )


def _num_rated(windows: Windows, is_rated: Bool[np.ndarray, " N"]) -> Int[np.ndarray, " W"]:
    """Rated events of every window, those aside that it only reads."""
    so_far = np.concatenate([[0], np.cumsum(is_rated)])
    ends = windows.starts + windows.lengths
    return so_far[ends] - so_far[windows.starts + windows.num_context]
