"""Filters of interactions: minimum ratings, the k-core, repeats."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from seqrec.errors import SeqRecError

Repeats = Literal["keep", "drop-duplicates", "drop-consecutive"]


@dataclass(frozen=True)
class Filters:
    """Filters, applied in the order of the fields; k-core and repeats until both hold."""

    min_rating: float | None = None
    """Rows with a lower rating or without a rating are dropped."""
    min_user: int = 1
    """Minimum number of interactions of a user (k-core)."""
    min_item: int = 1
    """Minimum number of interactions of an item (k-core)."""
    repeats: Repeats = "keep"
    """``drop-duplicates`` keeps the first of rows that are equal in every column,
    ``drop-consecutive`` the first of neighbouring interactions with the same item."""
    cold_share: float = 0.0
    """Share of the items that keep their test interactions only."""

    def __post_init__(self) -> None:
        for option in ("min_user", "min_item"):
            if getattr(self, option) < 1:
                name = option.replace("_", "-")
                raise SeqRecError(f"--{name} {getattr(self, option)}: must be 1 or more")
        if not 0 <= self.cold_share < 1:
            raise SeqRecError(f"--cold-share {self.cold_share:g}: must be 0 or more and below 1")
        if self.repeats not in get_args(Repeats):
            choices = ", ".join(get_args(Repeats))
            raise SeqRecError(f"--repeats {self.repeats}: choose one of {choices}")

    @property
    def has_core(self) -> bool:
        """True if users or items with few interactions are dropped."""
        return self.min_user > 1 or self.min_item > 1


def k_core(
    users: Int[np.ndarray, " N"],
    items: Int[np.ndarray, " N"],
    min_user: int,
    min_item: int,
    counted: Bool[np.ndarray, " N"] | None = None,
) -> Bool[np.ndarray, " N"]:
    """Return a mask of the k-core, the largest set of rows with enough rows per user and item.

    Args:
        users: user of each row.
        items: item of each row.
        min_user: minimum number of rows of a user.
        min_item: minimum number of rows of an item.
        counted: rows that count; the others stay if their user and item do. All rows if None.
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
    """Return a mask of the rows with the same user and item as the row before."""
    repeat = np.zeros(len(users), dtype=bool)
    repeat[1:] = (users[1:] == users[:-1]) & (items[1:] == items[:-1])
    return repeat


def is_first_of_equal(table: pl.DataFrame) -> Bool[np.ndarray, " N"]:
    """Return a mask of the rows that equal no earlier row in every column."""
    return table.select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()


def _size(codes: Int[np.ndarray, " N"]) -> int:
    return int(codes.max(initial=-1)) + 1
