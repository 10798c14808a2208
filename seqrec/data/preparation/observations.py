"""Observations of a log that a user should know of: unusual times, users and ids."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from seqrec.data.log.normalization import ORDER_COLUMN
from seqrec.data.log.times import count_unusual
from seqrec.data.preparation.rows import Rows

LARGE_SHARE = 0.05
"""Share of the rows above which a single user stands out."""


@dataclass(frozen=True)
class Observations:
    """Numbers of rows, and shares of them, that stand out among the prepared rows."""

    unusual_times: int
    """Times before 1990 or after 2100."""
    backward_orders: int
    """Neighbours in time whose order column runs backwards."""
    largest_user: int
    """The user with most rows."""
    largest_share: float
    """Their share of the rows."""
    changed_ids: dict[str, int]
    """Rows whose id was changed, by kind."""

    @property
    def has_large_user(self) -> bool:
        """True if one user has an unusual share of the rows."""
        return self.largest_share > LARGE_SHARE


def observe(rows: Rows, time_unit: str | None, changed_ids: dict[str, int]) -> Observations:
    """Return what stands out among rows that are sorted by user and time."""
    table = rows.table
    backward = 0
    if ORDER_COLUMN in table.columns:
        is_backward = (pl.col("user") == pl.col("user").shift(1)) & (
            pl.col(ORDER_COLUMN) < pl.col(ORDER_COLUMN).shift(1)
        )
        backward = int(table.select(is_backward.sum()).item() or 0)
    lengths = np.bincount(rows.get_ints("user"))
    largest = int(lengths.argmax())
    return Observations(
        unusual_times=count_unusual(table["time"].drop_nulls()) if time_unit else 0,
        backward_orders=backward,
        largest_user=largest,
        largest_share=float(lengths[largest] / len(table)) if len(lengths) >= 20 else 0.0,
        changed_ids={kind: count for kind, count in changed_ids.items() if count},
    )
