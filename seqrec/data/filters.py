"""Filters: which interactions of a log are kept."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Int

from seqrec.errors import SeqRecError

Repeats = Literal["keep", "drop-consecutive"]


@dataclass(frozen=True)
class Filters:
    """What to leave out, applied in the order of the fields; core and repeats until both hold."""

    min_rating: float | None = None
    """Rows rated below are dropped, and rows without a rating."""
    min_user: int = 1
    """Interactions that every user keeps at least (k-core)."""
    min_item: int = 1
    """Interactions that every item keeps at least (k-core)."""
    repeats: Repeats = "keep"
    """``drop-consecutive``: of neighbours that name the same item the first is kept."""
    cold_share: float = 0.0
    """Share of the items of which only test interactions are kept."""

    def __post_init__(self) -> None:
        for option in ("min_user", "min_item"):
            if getattr(self, option) < 1:
                name = option.replace("_", "-")
                raise SeqRecError(f"--{name} {getattr(self, option)}: must be 1 or more")
        if not 0 <= self.cold_share < 1:
            raise SeqRecError(f"--cold-share {self.cold_share:g}: 0 or more, below 1")
        if self.repeats not in get_args(Repeats):
            choices = ", ".join(get_args(Repeats))
            raise SeqRecError(f"--repeats {self.repeats}: choose one of {choices}")

    @property
    def has_core(self) -> bool:
        """Whether users or items with few interactions are dropped."""
        return self.min_user > 1 or self.min_item > 1


def core(
    users: Int[np.ndarray, " N"],
    items: Int[np.ndarray, " N"],
    min_user: int,
    min_item: int,
    counted: Bool[np.ndarray, " N"] | None = None,
) -> Bool[np.ndarray, " N"]:
    """The k-core: the largest set of rows in which every user and item occurs often enough.

    Args:
        users: per row.
        items: per row.
        min_user: rows that a user needs.
        min_item: rows that an item needs.
        counted: only these rows count; the others stay if their user and item do. All, if None.
    """
    kept = np.ones(len(users), dtype=bool)
    while True:
        basis = kept if counted is None else kept & counted
        enough_users = np.bincount(users[basis], minlength=_size(users)) >= min_user
        enough_items = np.bincount(items[basis], minlength=_size(items)) >= min_item
        still = kept & enough_users[users] & enough_items[items]
        if still.sum() == kept.sum():
            return kept
        kept = still


def is_repeat(users: Int[np.ndarray, " N"], items: Int[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    """Rows that name the same item as the row before, of the same user."""
    repeat = np.zeros(len(users), dtype=bool)
    repeat[1:] = (users[1:] == users[:-1]) & (items[1:] == items[:-1])
    return repeat


def _size(codes: Int[np.ndarray, " N"]) -> int:
    return int(codes.max(initial=-1)) + 1
