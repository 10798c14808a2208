"""Splits: which interactions are trained on, validated on, tested on."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from seqrec.errors import SeqRecError

TRAIN, VALIDATION, TEST = 0, 1, 2
VALIDATION_SHARE = 0.05
"""Of all timestamps, below the cut of a global-time split."""

Kind = Literal["last-n", "global-time", "none"]
Targets = Literal["last", "successive"]


@dataclass(frozen=True)
class SplitBy:
    """A split that was asked for."""

    text: str
    """As it was written."""
    kind: Kind
    num_held_out: int = 1
    """``last-n``: interactions of a user that are tested together."""
    quantile: float = 0.9
    """``global-time``: the share of timestamps before the cut."""
    targets: Targets = "last"
    """``global-time``: which of a user's held-out interactions are asked for; kept for
    evaluation."""


def parse_split(text: str, targets: str = "last") -> SplitBy:
    """The split of an option's text: ``leave-one-out``, ``last-n:N``, ``global-time:Q``, ``none``.

    Raises:
        SeqRecError: any other text.
    """
    if targets not in get_args(Targets):
        raise SeqRecError(f"--targets {targets}: choose one of {', '.join(get_args(Targets))}")
    kind, colon, value = text.partition(":")
    asked: Targets = "successive" if targets == "successive" else "last"
    if asked == "successive" and kind != "global-time":
        raise SeqRecError(f"--targets successive goes with --split-by global-time, not {text}")
    if kind in ("leave-one-out", "none") and not colon:
        return SplitBy(text, "none" if kind == "none" else "last-n", targets=asked)
    if kind == "last-n":
        if not (value.isascii() and value.isdigit() and int(value) >= 1):
            raise SeqRecError(f"--split-by {text}: last-n:N needs a whole number of 1 or more")
        return SplitBy(text, "last-n", num_held_out=int(value), targets=asked)
    if kind == "global-time":
        quantile = _number(value) if colon else SplitBy.quantile
        if quantile is None or not VALIDATION_SHARE < quantile < 1:
            raise SeqRecError(
                f"--split-by {text}: global-time:Q needs a share above {VALIDATION_SHARE} "
                "and below 1"
            )
        return SplitBy(text, "global-time", quantile=quantile, targets=asked)
    raise SeqRecError(f"--split-by {text}: choose leave-one-out, last-n:N, global-time:Q or none")


def split_last(users: Int[np.ndarray, " N"], num_held_out: int) -> UInt8[np.ndarray, " N"]:
    """Each user's last interactions are tested, the one before them validates.

    A user too short to leave something to train on gives up validation first, then the test.

    Args:
        users: per row, ascending; each user's rows oldest first.
        num_held_out: rows a user that are tested.
    """
    num_rows = np.bincount(users)
    lengths = np.repeat(num_rows, num_rows)
    from_end = np.repeat(np.cumsum(num_rows), num_rows) - 1 - np.arange(len(users))
    split = np.full(len(users), TRAIN, dtype=np.uint8)
    split[(from_end == num_held_out) & (lengths >= num_held_out + 2)] = VALIDATION
    split[(from_end < num_held_out) & (lengths >= num_held_out + 1)] = TEST
    return split


def cut_times(times: Int[np.ndarray, " N"], quantile: float) -> tuple[int, int]:
    """The times from which on interactions validate, and are tested: quantiles of ``times``."""
    shares = (quantile - VALIDATION_SHARE, quantile)
    places = [min(int(round(share * len(times), 6)), len(times) - 1) for share in shares]
    ordered = np.partition(times, places)
    return int(ordered[places[0]]), int(ordered[places[1]])


def split_at(times: Int[np.ndarray, " N"], cuts: tuple[int, int]) -> UInt8[np.ndarray, " N"]:
    """Before the cuts, between them, and after; equal times are never parted."""
    return np.searchsorted(np.asarray(cuts), times, side="right").astype(np.uint8)


def split_counts(
    users: Int[np.ndarray, " N"],
    items: Int[np.ndarray, " N"],
    split: UInt8[np.ndarray, " N"],
    split_by: SplitBy,
    times: Float[np.ndarray, " N"],
) -> dict[str, int]:
    """How large the parts are, who is evaluated, which test targets training never saw.

    Args:
        users: per row, ascending; each user's rows oldest first.
        items: per row.
        split: per row.
        split_by: what ``split`` follows.
        times: per row, in microseconds; NaN where it has none.
    """
    is_train, is_test = split == TRAIN, split == TEST
    lengths = np.bincount(users)
    has_test = np.bincount(users[is_test], minlength=len(lengths)) > 0
    has_history = lengths >= 2
    if split_by.kind == "last-n":  # all of a user's targets are asked for from before the first
        has_history &= split[np.cumsum(lengths) - lengths] != TEST
    num_evaluated = int((has_test & has_history).sum())
    is_target = is_test
    if split_by.kind == "global-time" and split_by.targets == "last":
        is_target = is_test & _is_last(users)
    counts = {
        "train": int(is_train.sum()),
        "validation": int((split == VALIDATION).sum()),
        "test": int(is_test.sum()),
        "users_evaluated": num_evaluated,
        "users_not_evaluated": len(lengths) - num_evaluated,
        "cold_users": _num_cold(users, is_target, is_train),
        "cold_items": _num_cold(items, is_target, is_train),
    }
    has_time = ~np.isnan(times)
    if split_by.kind == "last-n" and (is_test & has_time).any():
        earliest = times[is_test & has_time].min()
        counts["leaked_interactions"] = int((is_train & (times > earliest)).sum())
        if not has_time.all():
            counts["untimed_interactions"] = int((~has_time).sum())
    return counts


def _num_cold(
    codes: Int[np.ndarray, " N"],
    is_target: Bool[np.ndarray, " N"],
    is_train: Bool[np.ndarray, " N"],
) -> int:
    """Users or items of targets that no training row has."""
    size = int(codes.max(initial=-1)) + 1
    in_targets = np.bincount(codes[is_target], minlength=size) > 0
    return int((in_targets & (np.bincount(codes[is_train], minlength=size) == 0)).sum())


def _is_last(users: Int[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    last = np.ones(len(users), dtype=bool)
    last[:-1] = users[1:] != users[:-1]
    return last


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
