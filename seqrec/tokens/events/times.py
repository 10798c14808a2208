"""Times of events: the log's column, what a model may read of them, and numbers made from them."""

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.data.histories import MISSING_TIME

TIME_COLUMN = "time"
NO_TIME = MISSING_TIME
NO_TIME_INPUT = "no time input"
PAST_TIMES = "times of past events read"
TARGET_TIME = "target time given"
"""The time input of a model, as protocols state it."""
MICROSECONDS = 1_000_000


def time_values(
    times: Int[np.ndarray, " N"], is_first: Bool[np.ndarray, " N"], kind: str
) -> Float[np.ndarray, " N"]:
    """Return numbers made from times; NaN for missing times, and for the gap of a first event.

    Args:
        times: microseconds since 1970.
        is_first: True for the first event of every user.
        kind: ``gap``: seconds since the previous event; ``hour``; ``weekday``, Monday 0; UTC.
    """
    is_known = times != NO_TIME
    seconds = np.where(is_known, times, 0) / MICROSECONDS
    if kind == "hour":
        found = seconds // 3600 % 24
    elif kind == "weekday":
        found = (seconds // 86400 + 3) % 7
    else:
        found = np.diff(seconds, prepend=0.0)
        is_known = is_known & ~is_first & np.roll(is_known, 1)
    return np.where(is_known, found, np.nan)
