"""Counts of a prepared log: users, items, ties, duplicates, and the sizes of the split."""

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int, UInt8

from seqrec.data.preparation.rows import Rows
from seqrec.data.splits import TEST, TRAIN, VALIDATION, SplitBy


def add_counts(rows: Rows, split_by: SplitBy, ordered_by: str, num_items: int) -> None:
    """Add the counts of the remaining rows to ``rows.counts``."""
    table = rows.table
    users, items = rows.get_ints("user"), rows.get_ints("item")
    times = table["time"].cast(pl.Int64).cast(pl.Float64).to_numpy()  # NaN for null
    rows.counts |= {
        "duplicate_rows": _num_duplicates(table, ordered_by),
        "users": int(users.max()) + 1,
        "items": num_items,
        "interactions": len(table),
        "one_interaction_users": int((np.bincount(users) == 1).sum()),
    }
    split = table["split"].to_numpy()
    rows.counts |= split_counts(users, items, split, split_by, times)


def count_tied_pairs(table: pl.DataFrame, keys: list[str]) -> int:
    """Return the number of neighbouring rows that agree in all keys."""
    agrees = pl.all_horizontal(pl.col(key) == pl.col(key).shift(1) for key in keys)
    return int(table.select(agrees.sum()).item())


def _num_duplicates(table: pl.DataFrame, ordered_by: str) -> int:
    """Return the number of rows that repeat an earlier user, item, time and rating."""
    columns = [name for name in ("user", "item", "time", "rating") if name in table.columns]
    if ordered_by.startswith("time"):
        key = pl.col("user", "time")
        is_tied = [pl.all_horizontal(key == key.shift(by)).fill_null(False) for by in (1, -1)]
        table = table.filter(pl.any_horizontal(is_tied))
    return len(table) - table.select(columns).n_unique() if len(table) else 0


def split_counts(
    users: Int[np.ndarray, " N"],
    items: Int[np.ndarray, " N"],
    split: UInt8[np.ndarray, " N"],
    split_by: SplitBy,
    times: Float[np.ndarray, " N"],
) -> dict[str, int]:
    """Count the rows of each part, the evaluated users, and the cold users and items.

    Args:
        users: user of each row, ascending; each user's rows oldest first.
        items: item of each row.
        split: part of each row.
        split_by: the split behind ``split``.
        times: time of each row in microseconds; NaN if missing.
    """
    is_train, is_test = split == TRAIN, split == TEST
    lengths = np.bincount(users)
    has_test = np.bincount(users[is_test], minlength=len(lengths)) > 0
    has_history = lengths >= 2
    if split_by.kind == "last-n":  # a user's targets share the history before the first of them
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
    """Return the number of users or items of targets without a training row."""
    size = int(codes.max(initial=-1)) + 1
    in_targets = np.bincount(codes[is_target], minlength=size) > 0
    return int((in_targets & (np.bincount(codes[is_train], minlength=size) == 0)).sum())


def _is_last(users: Int[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    last = np.ones(len(users), dtype=bool)
    last[:-1] = users[1:] != users[:-1]
    return last
