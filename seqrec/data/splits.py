"""Splits into training, validation and test: leave-one-out, last-n, global-time and date."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Int, UInt8

from seqrec.data.split_dates import DATE_KIND, parse_dates
from seqrec.data.windows import is_windows, parse_windows
from seqrec.errors import SeqRecError

TRAIN, VALIDATION, TEST = 0, 1, 2
VALIDATION_SHARE = 0.05
"""The share of all timestamps, below the cut of a global-time split, that validates."""
TIME_KINDS = ("global-time", DATE_KIND)
"""Splits at times that all users share."""

Kind = Literal["last-n", "global-time", "none"]
Targets = Literal["last", "successive"]


@dataclass(frozen=True)
class SplitBy:
    """A requested split."""

    text: str
    """The option's text."""
    kind: Kind
    num_held_out: int = 1
    """``last-n``: number of a user's interactions that are tested together."""
    quantile: float = 0.9
    """``global-time``: the share of timestamps before the cut."""
    dates: tuple[int, ...] = ()
    """``date``: the first time of validation (if two or more), of test and (if three) of what is
    left out, in microseconds since 1970; its kind is ``global-time``."""
    targets: Targets = "last"
    """``global-time``: the held-out interactions that are evaluation targets, each user's last
    one or all in turn."""


def parse_split(text: str, targets: str = "last") -> SplitBy:
    """Parse ``leave-one-out``, ``last-n:N``, ``global-time:Q``, ``date:...`` or ``none``.

    Args:
        text: the value of ``--split-by``.
        targets: the value of ``--targets``.

    Raises:
        SeqRecError: any other text.
    """
    if targets not in get_args(Targets):
        raise SeqRecError(f"--targets {targets}: choose one of {', '.join(get_args(Targets))}")
    kind, colon, value = text.partition(":")
    mode: Targets = "successive" if targets == "successive" else "last"
    if mode == "successive" and kind not in TIME_KINDS:
        raise SeqRecError(
            f"--targets successive goes with --split-by global-time or date, not {text}"
        )
    if kind in ("leave-one-out", "none") and not colon:
        return SplitBy(text, "none" if kind == "none" else "last-n", targets=mode)
    if kind == "last-n":
        if not (value.isascii() and value.isdigit() and int(value) >= 1):
            raise SeqRecError(f"--split-by {text}: last-n:N needs an integer of 1 or more")
        return SplitBy(text, "last-n", num_held_out=int(value), targets=mode)
    if kind == "global-time":
        quantile = _number(value) if colon else SplitBy.quantile
        if quantile is None or not VALIDATION_SHARE < quantile < 1:
            raise SeqRecError(
                f"--split-by {text}: global-time:Q needs a share above {VALIDATION_SHARE} "
                "and below 1"
            )
        return SplitBy(text, "global-time", quantile=quantile, targets=mode)
    if kind == DATE_KIND:
        return SplitBy(text, "global-time", dates=parse_dates(text), targets=mode)
    raise SeqRecError(
        f"--split-by {text}: choose leave-one-out, last-n:N, global-time:Q, date:DATE or none"
    )


def parse_splits(text: str, targets: str = "last") -> list[SplitBy]:
    """Parse a split, or the splits of ``windows:START,LENGTH,COUNT``; see ``parse_split``."""
    texts = parse_windows(text) if is_windows(text) else [text]
    return [parse_split(one, targets) for one in texts]


def is_time_split(text: str) -> bool:
    """Return True for a split at times that all users share."""
    return text.partition(":")[0] in TIME_KINDS


def split_last(users: Int[np.ndarray, " N"], num_held_out: int) -> UInt8[np.ndarray, " N"]:
    """Assign each user's last interactions to test and the one before them to validation.

    A history too short to keep a training interaction loses validation first, then test.

    Args:
        users: user of each row, ascending; each user's rows oldest first.
        num_held_out: test interactions of a user.
    """
    num_rows = np.bincount(users)
    lengths = np.repeat(num_rows, num_rows)
    from_end = np.repeat(np.cumsum(num_rows), num_rows) - 1 - np.arange(len(users))
    split = np.full(len(users), TRAIN, dtype=np.uint8)
    split[(from_end == num_held_out) & (lengths >= num_held_out + 2)] = VALIDATION
    split[(from_end < num_held_out) & (lengths >= num_held_out + 1)] = TEST
    return split


def cut_times(times: Int[np.ndarray, " N"], quantile: float) -> tuple[int, int]:
    """Return the first times of validation and of test, two quantiles of ``times``."""
    shares = (quantile - VALIDATION_SHARE, quantile)
    ranks = [min(int(round(share * len(times), 6)), len(times) - 1) for share in shares]
    ordered = np.partition(times, ranks)
    return int(ordered[ranks[0]]), int(ordered[ranks[1]])


def cut_at_dates(times: Int[np.ndarray, " N"], dates: tuple[int, ...]) -> tuple[int, int]:
    """Return the first times of validation and of test.

    With a date of the test alone, validation is the last of the earlier times, as many as a
    global-time split would take.

    Args:
        times: all times.
        dates: ``SplitBy.dates``.
    """
    if len(dates) > 1:
        return dates[0], dates[1]
    num_before = int((times < dates[0]).sum())
    rank = max(int(round(num_before - VALIDATION_SHARE * len(times), 6)), 0)
    return min(int(np.partition(times, rank)[rank]), dates[0]), dates[0]


def split_at(times: Int[np.ndarray, " N"], cuts: tuple[int, int]) -> UInt8[np.ndarray, " N"]:
    """Assign rows before, between and after the cuts; equal times stay in one part."""
    return np.searchsorted(np.asarray(cuts), times, side="right").astype(np.uint8)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
