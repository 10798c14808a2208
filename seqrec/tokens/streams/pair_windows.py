"""Windows of pairs' histories: pairs of one user share a window where they can."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from seqrec.data.feedback.pairs import Pairs
from seqrec.tokens.streams.windows import Windows


class PairWindows(NamedTuple):
    """The windows of pairs' histories, and the position of each pair in its window."""

    windows: Windows
    """Stretches of the pairs' histories, concatenated."""
    pair_window: Int[np.ndarray, " P"]
    """The window of each pair."""
    pair_column: Int[np.ndarray, " P"]
    """Position of the last item of the pair's history within its window."""

    @classmethod
    def of(cls, pairs: Pairs, rows: Int[np.ndarray, " P"], max_length: int) -> "PairWindows":
        """Build windows of at most ``max_length`` items for some pairs.

        A user's longest history comes first, with its last items. A shorter one that is its
        prefix shares the window, unless the window holds less than half of the items that could
        be read of it.
        """
        histories, starts = pairs.histories, pairs.histories.starts
        groups: dict[object, list[int]] = {}
        for place, row in enumerate(rows.tolist()):
            key = pairs.user_ids[row]
            groups.setdefault(
                (key,) if key is not None else histories.get(row, starts[row]).tobytes(), []
            ).append(place)
        window_starts: list[int] = []
        lengths: list[int] = []
        window_of = np.zeros(len(rows), dtype=np.int64)
        column_of = np.zeros(len(rows), dtype=np.int64)
        for places in groups.values():
            places.sort(key=lambda place: -histories.lengths[rows[place]])
            longest = np.empty(0, dtype=np.int64)
            first = 0
            for place in places:
                row = rows[place]
                history = histories.get(row, starts[row])
                length = len(history)
                is_near = 2 * (length - first) >= min(length, max_length)
                if not is_near or not np.array_equal(longest[:length], history):
                    longest, first = history, max(length - max_length, 0)
                    window_starts.append(int(starts[row]) + first)
                    lengths.append(length - first)
                window_of[place] = len(lengths) - 1
                column_of[place] = length - first - 1
        lengths_ = np.array(lengths, dtype=np.int64)
        windows = Windows(
            np.array(window_starts, dtype=np.int64), lengths_, np.zeros_like(lengths_)
        )
        return cls(windows, window_of, column_of)
