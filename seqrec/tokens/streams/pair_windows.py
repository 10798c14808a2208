"""Windows of pairs' histories: pairs of one user share a window where they can."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from seqrec.data.feedback.pairs import Pairs
from seqrec.tokens.streams.windows import Windows


class PairWindows(NamedTuple):
    """Which stretches of histories are read, and where in them pairs are asked."""

    windows: Windows
    """Stretches of the pairs' histories, end to end."""
    pair_window: Int[np.ndarray, " P"]
    """Of each pair that was asked for."""
    pair_column: Int[np.ndarray, " P"]
    """StreamPosition of the last title of the pair's history within its window."""

    @classmethod
    def of(cls, pairs: Pairs, rows: Int[np.ndarray, " P"], max_length: int) -> "PairWindows":
        """Windows of at most ``max_length`` titles for some pairs.

        The longest history of a user is read first, its last titles; a shorter one that it
        begins with is asked for in the same window, unless less than half of what could be read
        of it stands there.
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
