"""Packed batches of rated histories: every rated title is a candidate, told what was before it.

A stretch of ``n`` titles takes ``n`` positions: a start, which holds no title, then all titles but
the last, each with its rating. At every position the title that comes next is the candidate; of
that title the model is told the name alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN
from seqrec.tokens.streams.base import WindowStream
from seqrec.tokens.streams.packing import (
    Placement,
    pack_blocks,
    pack_documents,
    pack_rows,
    place_windows,
)
from seqrec.tokens.streams.windows import Windows, training_windows
from seqrec.tokens.tokenizer import ItemTokens

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
        row_length: items of a row.
    """
    shape = (max(len(rows), 1), row_length)
    placement = place_windows(windows, rows, row_length)
    lengths = windows.lengths[[window for row in rows for window in row]].astype(np.int64)
    is_start = np.zeros(len(placement.source), dtype=bool)
    is_start[np.cumsum(lengths) - lengths] = True
    before = placement.source - 1
    ratings = np.full(shape, START, dtype=np.int64)
    past = np.where(is_start[:, None], tokens.pad_token_id, tokens.encode(items[before]))
    ratings.flat[placement.place] = np.where(is_start, START, rating_rows[before])
    return PackedHistories(
        pack_blocks(past, placement.place, shape, tokens.pad_token_id),
        ratings.repeat(tokens.block_size, axis=1),
        pack_documents(placement, shape, tokens.block_size),
        placement,
    )


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
    items, ratings, windows = build_prompts(histories, rating_rows, max_length)
    longest = int(windows.lengths.max())
    rows = pack_rows(windows.lengths, longest)
    packed = pack_rated(items, ratings, windows, rows, tokens, longest)
    return packed, np.array([window for row in rows for window in row], dtype=np.int64)


def build_prompts(
    histories: Sequence[Int[np.ndarray, " T"]],
    rating_rows: Sequence[Int[np.ndarray, " T"]],
    max_length: int,
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"], Windows]:
    """Histories with something to ask behind each, as ``pack_rated`` takes them.

    Returns:
        Items, rows of the rating embedding, and a window of each history: what is read of it,
        and the candidate's place.
    """
    lengths = np.array([len(history) + 1 for history in histories], dtype=np.int64)
    asked = np.zeros(1, dtype=np.int64)  # stands for the candidate, which is not read
    items = np.concatenate([part for history in histories for part in (history, asked)])
    ratings = np.concatenate([part for of in rating_rows for part in (of, asked)])
    read = np.minimum(lengths, max_length)
    return items, ratings, Windows(np.cumsum(lengths) - read, read, np.zeros_like(read))


class RewardBatch(NamedTuple):
    """Packed histories with their ratings, and the answers that are judged at some places."""

    input_ids: Int[np.ndarray, "B T"]
    ratings: Int[np.ndarray, "B T"]
    """Rows of the rating embedding."""
    documents: Int[np.ndarray, "B T"]
    """Number of the window within its row, from 1; 0 is padding."""
    rows: Int[np.ndarray, " S"]
    """Of the places, in the packed histories."""
    columns: Int[np.ndarray, " S"]
    slates: Int[np.ndarray, "S K"]
    """Titles of each answer; -1 behind its end."""
    labels: Float[np.ndarray, " S"]
    """How good it is, from 0 to 1."""
    events: Int[np.ndarray, " S"]
    """Which of all answers it is."""
    total_weight: float
    """Of the answers, of all processes together, over the number of processes."""


class RatedStream(WindowStream):
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
            row_length: items of a row, and events that a window holds.
            batch_size: rows of a batch, all processes together.
            seed: of the order.
            rank: which of the processes this is; it gets every ``num_ranks``-th row of a batch.
            num_ranks: processes that train together.
        """
        self.events = events
        self.tokens = tokens
        self.rating_rows = rating_rows(events.ratings, levels)
        self.labels = (events.ratings >= liked).astype(np.float32)
        windows = training_windows(
            events.starts[users],
            events.ends[users] + 1,  # every event is asked about, also the first one
            max_length=row_length,
            which="all",
            stride=-(-row_length // 2),
        )
        num_rated = _num_rated(windows, events.is_rated)
        is_asked = num_rated > 0
        super().__init__(
            Windows(*(part[is_asked] for part in windows)),
            num_rated[is_asked],
            row_length=row_length,
            batch_size=batch_size,
            seed=seed,
            rank=rank,
            num_ranks=num_ranks,
        )

    def _batch(self, rows: Sequence[Sequence[int]]) -> RewardBatch:
        items, is_rated = self.events.items, self.events.is_rated
        packed = pack_rated(
            items, self.rating_rows, self.windows, rows, self.tokens, self.row_length
        )
        placement = packed.placement
        is_asked = is_rated[placement.source] & ~placement.is_context
        place, event = placement.place[is_asked], placement.source[is_asked]
        return RewardBatch(
            packed.input_ids,
            packed.ratings,
            packed.documents,
            place // self.row_length,
            self.tokens.blocks.last_position(place % self.row_length),
            items[event][:, None],
            self.labels[event],
            event,
            float(len(event)),
        )


def _num_rated(windows: Windows, is_rated: Bool[np.ndarray, " N"]) -> Int[np.ndarray, " W"]:
    """Rated events of every window, those aside that it only reads."""
    so_far = np.concatenate([[0], np.cumsum(is_rated)])
    ends = windows.starts + windows.lengths
    return so_far[ends] - so_far[windows.starts + windows.num_context]
