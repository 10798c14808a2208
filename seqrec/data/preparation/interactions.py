"""Prepare a log's interactions: filter, number, order and split them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from seqrec.data.log.normalization import (
    ORDER_COLUMN,
    OWN_COLUMNS,
    NormalizedLog,
    ReadOptions,
    normalize,
)
from seqrec.data.log.sources import Log
from seqrec.data.preparation.counts import add_counts, count_tied_pairs
from seqrec.data.preparation.filters import Filters, is_first_of_equal, is_repeat, k_core
from seqrec.data.preparation.numbering import (
    get_unwatched_ids,
    number_by_appearance,
    number_by_training,
)
from seqrec.data.preparation.observations import Observations, observe
from seqrec.data.preparation.rows import Rows
from seqrec.data.splits import TEST, TRAIN, SplitBy, cut_at_dates, cut_times, split_at, split_last
from seqrec.errors import SeqRecError


@dataclass(frozen=True)
class Interactions:
    """Interactions, sorted by user, oldest first."""

    table: pl.DataFrame
    """``user``, ``item``, ``time``, ``split``, ``rating`` if known, the log's other columns."""
    user_ids: pl.Series
    """Ids by first appearance in the filtered log."""
    item_ids: pl.Series
    """Ids of the training part by first appearance there, then the others."""
    counts: dict[str, int]
    time_unit: str | None
    """Unit of the log's times: ``s``, ``ms``, ``us``, ``ns``, ``date``; None without times."""
    ordered_by: str
    """``time``, ``time, then COLUMN``, the name of the order column, or ``file``."""
    cuts: dict[str, str]
    """First times of validation and test, for a global-time split."""
    renamed: dict[str, str]
    """Old and new names of the log's columns that had the name of one of seqrec's columns."""
    observations: Observations
    """Unusual values that a user should know of."""


Catalog = Literal["watched", "all"]
"""The recommendable items: those with interactions, or also those that only a file names."""


def prepare_interactions(
    log: Log,
    filters: Filters,
    split_by: SplitBy,
    catalog: Catalog = "watched",
    reading: ReadOptions | None = None,
) -> Interactions:
    """Return the interactions of a log, filtered and split.

    Rows are sorted by time, then by the order column; ties keep the order of the log. Under a
    global-time split the k-core counts the training part only.

    Args:
        log: the source.
        filters: the filters to apply.
        split_by: the split to apply.
        catalog: ``all`` adds the items that only the log's item files name.
        reading: how times and ids are read.

    Raises:
        SeqRecError: unreadable values, missing ids or times, a log without remaining rows.
    """
    return build_interactions(log, normalize(log, reading), filters, split_by, catalog)


def build_interactions(
    log: Log,
    normalized: NormalizedLog,
    filters: Filters,
    split_by: SplitBy,
    catalog: Catalog = "watched",
) -> Interactions:
    """Return the interactions of a normalized log; see ``prepare_interactions``."""
    user_ids, item_ids = normalized.user_ids, normalized.item_ids
    in_log = item_ids
    rows = Rows(log.name, normalized.table, normalized.num_rows, normalized.num_without_id)
    if log.condition is not None:
        rows.add_condition(log.num_rows_before)
    _filter_rows(rows, filters)
    cuts = None
    if split_by.kind == "global-time":
        cuts = _split_at_times(rows, split_by)
    if filters.has_core:
        _keep_core(rows, filters)
    user_ids, item_ids = (
        number_by_appearance(rows, "user", user_ids),
        number_by_appearance(rows, "item", item_ids),
    )
    ordered_by = _order(rows, log, has_time_split=cuts is not None)
    if filters.repeats == "drop-consecutive":
        while _drop_repeats(rows) and filters.has_core and _keep_core(rows, filters):
            pass
        user_ids, item_ids = (
            number_by_appearance(rows, "user", user_ids),
            number_by_appearance(rows, "item", item_ids),
        )
    if cuts is None:
        _split_by_position(rows, split_by)
    if filters.cold_share:
        _withhold_items(rows, item_ids, filters.cold_share)
        user_ids = number_by_appearance(rows, "user", user_ids)
    item_ids = number_by_training(rows, item_ids)
    if catalog == "all":
        unwatched = get_unwatched_ids(log, in_log)
        rows.counts["unwatched_items"] = len(unwatched)
        item_ids = item_ids.append(unwatched)
    add_counts(rows, split_by, ordered_by, len(item_ids))
    own = [name for name in OWN_COLUMNS if name in rows.table.columns]
    names = ("validation_from", "test_from")
    return Interactions(
        table=rows.table.select(*own, pl.exclude(*own, ORDER_COLUMN)),
        user_ids=user_ids,
        item_ids=item_ids,
        counts=rows.counts,
        time_unit=normalized.time_unit,
        ordered_by=ordered_by,
        cuts={name: _iso(cut) for name, cut in zip(names, cuts or (), strict=False)},
        renamed=normalized.renamed,
        observations=observe(rows, normalized.time_unit, normalized.changed_ids),
    )


def _filter_rows(rows: Rows, filters: Filters) -> None:
    """Drop the rows that are no interactions, whatever the others are."""
    if filters.repeats == "drop-duplicates":
        is_kept = is_first_of_equal(rows.table)
        rows.keep(is_kept, "duplicates_dropped", "--repeats drop-duplicates")
    if filters.min_rating is not None:
        if "rating" not in rows.table.columns:
            raise SeqRecError(f"{rows.name}: --min-rating needs ratings; name them with --rating")
        is_rated = pl.col("rating") >= filters.min_rating
        rows.keep(is_rated, "below_min_rating", f"--min-rating {filters.min_rating:g}")


def _split_at_times(rows: Rows, split_by: SplitBy) -> tuple[int, int]:
    option = f"--split-by {split_by.text}"
    rows.keep(pl.col("time").is_not_null(), "without_time", f"{option}, which needs times,")
    if len(split_by.dates) == 3:
        rows.keep(rows.get_ints("time") < split_by.dates[2], "after_the_end", option)
    times = rows.get_ints("time")
    if split_by.dates:
        cuts = cut_at_dates(times, split_by.dates)
    else:
        cuts = cut_times(times, split_by.quantile)
    split = split_at(times, cuts)
    if not (split == TRAIN).any():
        raise SeqRecError(f"{rows.name}: {option} leaves nothing to train on: too few times")
    if not (split == TEST).any():
        first, last = _iso(int(times.min())), _iso(int(times.max()))
        raise SeqRecError(
            f"{rows.name}: {option} leaves nothing to test on; the times are {first} to {last}"
        )
    rows.table = rows.table.with_columns(split=split)
    return cuts


def _split_by_position(rows: Rows, split_by: SplitBy) -> None:
    split = np.full(len(rows.table), TRAIN, dtype=np.uint8)
    if split_by.kind == "last-n":
        split = split_last(rows.get_ints("user"), split_by.num_held_out)
    rows.table = rows.table.with_columns(split=split)


def _withhold_items(rows: Rows, item_ids: pl.Series, share: float) -> None:
    """Keep only test interactions of a fixed share of the items, chosen by their ids alone."""
    by_id = np.random.default_rng(0).permutation(item_ids.arg_sort().to_numpy())
    is_cold = np.zeros(len(item_ids), dtype=bool)
    is_cold[by_id[: round(share * len(item_ids))]] = True
    is_kept = ~is_cold[rows.get_ints("item")] | (rows.get_ints("split") == TEST)
    rows.keep(is_kept, "withheld_as_cold", f"--cold-share {share:g}")
    if not (rows.table["split"] == TRAIN).any():
        raise SeqRecError(f"{rows.name}: --cold-share {share:g} leaves nothing to train on")


def _keep_core(rows: Rows, filters: Filters) -> int:
    """Keep the k-core; a split log counts its training part only. Return the dropped rows."""
    counted = rows.get_ints("split") == TRAIN if "split" in rows.table.columns else None
    is_kept = k_core(
        rows.get_ints("user"), rows.get_ints("item"), filters.min_user, filters.min_item, counted
    )
    option = f"--min-user {filters.min_user} --min-item {filters.min_item}"
    return rows.keep(is_kept, "outside_core", option)


def _drop_repeats(rows: Rows) -> int:
    """Keep the first of neighbours with the same item; return the number of dropped rows."""
    is_kept = ~is_repeat(rows.get_ints("user"), rows.get_ints("item"))
    return rows.keep(is_kept, "repeats_dropped", "--repeats drop-consecutive")


def _order(rows: Rows, log: Log, has_time_split: bool) -> str:
    """Sort by user, time and order column, and count ties; return what the order is.

    The order column alone decides where times are missing.
    """
    has_order = ORDER_COLUMN in rows.table.columns
    num_missing = 0 if has_time_split else rows.table["time"].null_count()
    keys = ["time"] if not num_missing else []
    if has_order:
        keys.append(ORDER_COLUMN)
    elif 0 < num_missing < len(rows.table):
        raise SeqRecError(
            f"{log.name}: {num_missing:,} of {len(rows.table):,} times (column "
            f"{log.columns.time!r}) are missing; name a column that already is each user's "
            f"order with --order, or split by global-time, which drops them"
        )
    rows.table = rows.table.sort("user", *keys, maintain_order=True)
    rows.counts["tied_pairs"] = count_tied_pairs(rows.table, ["user", *keys]) if keys else 0
    names = ["time"] if "time" in keys else []
    names += [str(log.columns.order)] if has_order else []
    return ", then ".join(names) or "file"


def _iso(microseconds: int) -> str:
    return str(np.datetime64(microseconds, "us"))
