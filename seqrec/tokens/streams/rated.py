"""Packed batches of rated histories: every rated item is a candidate after the items before it.

A stretch of ``n`` items takes ``n`` positions: a start without an item, then all items but the
last, each with its rating. At every position the next item is the candidate; the model does not
read its rating.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from seqrec.tokens.streams.base import WindowStream
from seqrec.tokens.streams.batches import RewardBatch
from seqrec.tokens.streams.rated_packing import pack_rated
from seqrec.tokens.streams.ratings import RatedEvents, rating_rows
from seqrec.tokens.streams.windows import Windows, training_windows
from seqrec.tokens.tokenizer import ItemTokens


class RatedStream(WindowStream):
    """Batches of some users' histories; seed and position determine every choice."""

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
        predicted in the first window that holds it.

        Args:
            events: all of a log.
            users: the users whose events are predicted.
            tokens: from items to tokens.
            levels: ratings, in order, that have an embedding.
            liked: least rating of a liked item.
            row_length: items of a row, and events that a window holds.
            batch_size: rows of a batch, all processes together.
            seed: of the order.
            rank: number of this process; it gets every ``num_ranks``-th row of a batch.
            num_ranks: processes that train together.
        """
        self.events = events
        self.tokens = tokens
        self.rating_rows = rating_rows(events.ratings, levels)
        self.labels = (events.ratings >= liked).astype(np.float32)
        windows = training_windows(
            events.starts[users],
            events.ends[users] + 1,  # every event is predicted, also the first one
            max_length=row_length,
            which="all",
            stride=-(-row_length // 2),
        )
        num_rated = _num_rated(windows, events.is_rated)
        is_read = num_rated > 0
        super().__init__(
            Windows(*(part[is_read] for part in windows)),
            num_rated[is_read],
            row_length=row_length,
            batch_size=batch_size,
            seed=seed,
            rank=rank,
            num_ranks=num_ranks,
        )

    def _batch(self, rows: Sequence[Sequence[int]]) -> RewardBatch[np.ndarray]:
        items, is_rated = self.events.items, self.events.is_rated
        packed = pack_rated(
            items, self.rating_rows, self.windows, rows, self.tokens, self.row_length
        )
        placement = packed.placement
        is_predicted = is_rated[placement.source] & ~placement.is_context
        place, event = placement.slot[is_predicted], placement.source[is_predicted]
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
    """Return the number of rated events of every window, without its context."""
    so_far = np.concatenate([[0], np.cumsum(is_rated)])
    ends = windows.starts + windows.lengths
    return so_far[ends] - so_far[windows.starts + windows.num_context]
