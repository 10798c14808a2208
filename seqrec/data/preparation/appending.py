"""A prepared folder with more rows: users and items keep their numbers, the split moves on."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int

from seqrec.data.log.normalization import ORDER_COLUMN, NormalizedLog, ReadOptions, normalize
from seqrec.data.log.sources import Log
from seqrec.data.log.values import parse_order
from seqrec.data.preparation.filters import Filters
from seqrec.data.preparation.interactions import Interactions, build_interactions
from seqrec.data.preparation.understanding import DROPS
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import SplitBy
from seqrec.errors import SeqRecError

SAME_ROW = ("user", "item", "time", "rating")
"""Columns in which a row equals one that was read before."""


def append_interactions(
    prepared: PreparedData, log: Log, filters: Filters, split_by: SplitBy, reading: ReadOptions
) -> Interactions:
    """Return the interactions of a prepared folder and of a log after it, split anew.

    Equal to ``prepare_interactions`` of both logs in one, but for the numbers of users and items:
    those of the folder stay, new ones follow.

    Args:
        prepared: the folder.
        log: the other log.
        filters: those of the folder, all of which keep or drop a row by itself or its neighbour.
        split_by: the split of the folder.
        reading: how the log is read.

    Raises:
        SeqRecError: rows that the folder has already, or that cannot follow its rows.
    """
    new = normalize(log, reading)
    old = _read_old(prepared)
    user_ids, users = _number(prepared.users()["user_id"], new.user_ids)
    item_ids, items = _number(prepared.items()["item_id"], new.item_ids)
    rows = new.table.with_columns(
        user=pl.Series(users[new.table["user"].to_numpy()], dtype=pl.UInt32),
        item=pl.Series(items[new.table["item"].to_numpy()], dtype=pl.UInt32),
    )
    if filters.repeats == "keep":
        _refuse_known_rows(prepared, log, old, rows, user_ids, item_ids)
    if filters.repeats == "drop-consecutive":
        _refuse_earlier_rows(prepared, log, old, rows)
    both = NormalizedLog(
        _concatenate(prepared, log, old, rows),
        user_ids,
        item_ids,
        new.time_unit,
        len(old) + new.num_rows,
        new.renamed,
        new.num_without_id,
        new.changed_ids,
    )
    built = build_interactions(log, both, filters, split_by)
    return _keep_numbers(prepared, built, len(old))


def _read_old(prepared: PreparedData) -> pl.DataFrame:
    """Return the rows of the folder as a normalized log has them."""
    table = prepared.interactions().drop("split")
    order = prepared.manifest["options"].get("order")
    if order is None:
        return table
    name = prepared.manifest["renamed_columns"].get(order, order)
    if name in table.columns:
        return table.with_columns(parse_order(table[name]).values.alias(ORDER_COLUMN))
    return table.with_columns(pl.col("time").cast(pl.Int64).alias(ORDER_COLUMN))


def _number(old_ids: pl.Series, new_ids: pl.Series) -> tuple[pl.Series, Int[np.ndarray, " N"]]:
    """Return the ids of both in one, old ones first, and the numbers of the new log's ids there.

    An id that no row of the new log holds may be null.
    """
    numbers = {one: number for number, one in enumerate(old_ids.to_list())}
    added = [one for one in new_ids.to_list() if one is not None and one not in numbers]
    numbers |= {one: number for number, one in enumerate(added, len(numbers))}
    own = np.array([numbers.get(one, 0) for one in new_ids.to_list()], dtype=np.uint32)
    return pl.Series([*old_ids.to_list(), *added], dtype=pl.String), own


def _refuse_known_rows(
    prepared: PreparedData,
    log: Log,
    old: pl.DataFrame,
    rows: pl.DataFrame,
    user_ids: pl.Series,
    item_ids: pl.Series,
) -> None:
    """Refuse rows with a time that the folder already has."""
    columns = [name for name in SAME_ROW if name in old.columns and name in rows.columns]
    timed = rows.filter(pl.col("time").is_not_null())
    keys = old.select(columns).unique()
    known = timed.join(keys, on=columns, how="semi", nulls_equal=True)
    if known.is_empty():
        return
    user, item = user_ids[known["user"][0]], item_ids[known["item"][0]]
    raise SeqRecError(
        f"{log.name}: {len(known):,} of {len(rows):,} rows are already in {prepared.path}, with "
        f"the same {', '.join(columns)} (user {user!r} and item {item!r} first); leave them out, "
        "or prepare the folder with --repeats drop-duplicates"
    )


def _refuse_earlier_rows(
    prepared: PreparedData, log: Log, old: pl.DataFrame, rows: pl.DataFrame
) -> None:
    """Refuse rows before the end of the folder, between which repeats were already dropped."""
    last = old["time"].max()
    num_early = 0 if last is None else int((rows["time"] < last).sum())
    if num_early:
        raise SeqRecError(
            f"{log.name}: {num_early:,} of {len(rows):,} rows are earlier than the last of "
            f"{prepared.path} ({last!s}), from which --repeats drop-consecutive has dropped rows; "
            "prepare both logs in one"
        )


def _concatenate(
    prepared: PreparedData, log: Log, old: pl.DataFrame, rows: pl.DataFrame
) -> pl.DataFrame:
    """Return the rows of both; a column that only one of them has is null in the other."""
    for name in set(old.columns) & set(rows.columns):
        mine, other = old[name].dtype, rows[name].dtype
        if mine == other or (mine.is_numeric() and other.is_numeric()):
            continue
        if rows[name].null_count() == len(rows):
            rows = rows.with_columns(pl.lit(None, mine).alias(name))
        elif old[name].null_count() == len(old):
            old = old.with_columns(pl.lit(None, other).alias(name))
        else:
            raise SeqRecError(
                f"{log.name}: column {name!r} holds {other}, in {prepared.path} it holds {mine}; "
                "make them equal"
            )
    return pl.concat([old, rows], how="diagonal_relaxed")


def _keep_numbers(prepared: PreparedData, built: Interactions, num_old: int) -> Interactions:
    """Return interactions with the numbers of the folder, and with the counts of all its logs."""
    user_ids, users = _number(prepared.users()["user_id"], built.user_ids)
    item_ids, items = _number(prepared.items()["item_id"], built.item_ids)
    table = built.table.with_columns(
        user=pl.Series(users[built.table["user"].to_numpy()], dtype=pl.UInt32),
        item=pl.Series(items[built.table["item"].to_numpy()], dtype=pl.UInt32),
    ).sort("user", maintain_order=True)
    counts: dict[str, Any] = {**built.counts, "items": len(item_ids)}
    before = prepared.manifest["counts"]
    counts["rows_read"] += before["rows_read"] - num_old
    for reason in DROPS:
        if reason in before or reason in counts:
            counts[reason] = counts.get(reason, 0) + before.get(reason, 0)
    if prepared.manifest["options"].get("catalog") == "all":
        counts["unwatched_items"] = len(item_ids) - table["item"].n_unique()
    seen = built.observations
    largest = int(users[seen.largest_user])
    return replace(
        built,
        table=table,
        user_ids=user_ids,
        item_ids=item_ids,
        counts=counts,
        observations=replace(seen, largest_user=largest),
    )
