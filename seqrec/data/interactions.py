"""A log becomes interactions: filtered, numbered, ordered and split."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from seqrec.data.filters import Filters, core, is_repeat
from seqrec.data.log.normalization import ORDER, OWN_COLUMNS, canonical
from seqrec.data.log.sources import Log
from seqrec.data.splits import TEST, TRAIN, SplitBy, cut_times, split_at, split_counts, split_last
from seqrec.errors import SeqRecError


@dataclass(frozen=True)
class Interactions:
    """Interactions by user, oldest first."""

    table: pl.DataFrame
    """``user``, ``item``, ``time``, ``split``, ``rating`` if known, the log's other columns."""
    user_ids: pl.Series
    """In the order in which users first appear in the log, once it is filtered."""
    item_ids: pl.Series
    """Those of the training part in the order in which they appear there, then the others."""
    counts: dict[str, int]
    time_unit: str | None
    """Of the log's times: ``s``, ``ms``, ``us``, ``ns``, ``date``; None if it has none."""
    ordered_by: str
    """``time``, ``file``, or the column given as order."""
    cuts: dict[str, str]
    """Of a global-time split: from which time on interactions validate, and are tested."""
    renamed: dict[str, str]
    """The log's other columns that gave way to ours: old name to new name."""


Catalog = Literal["watched", "all"]
"""Which items can be recommended: those with interactions, or also those that only a file names."""


class _Rows:
    """The rows that are left, and how many each filter took."""

    def __init__(self, name: str, table: pl.DataFrame, num_rows: int) -> None:
        self.name = name
        self.table = table
        self.counts = {"rows_read": num_rows, "blank_rows": num_rows - len(table)}
        self.told: list[str] = []

    def keep(self, mask: pl.Expr | Bool[np.ndarray, " N"], counter: str, option: str) -> int:
        """Keep the rows of the mask, and answer how many go; refuse to keep none."""
        if option not in self.told:
            self.told.append(option)
        before = len(self.table)
        self.table = self.table.filter(mask)
        num_dropped = before - len(self.table)
        self.counts[counter] = self.counts.get(counter, 0) + num_dropped
        if self.table.is_empty():
            raise SeqRecError(
                f"{self.name}: {' '.join(self.told)} leaves none of "
                f"{self.counts['rows_read']:,} rows; loosen it"
            )
        return num_dropped

    def ints(self, column: str) -> Int[np.ndarray, " N"]:
        """A column of whole numbers or times, without nulls."""
        return self.table[column].cast(pl.Int64).to_numpy()


def prepare_interactions(
    log: Log, filters: Filters, split_by: SplitBy, catalog: Catalog = "watched"
) -> Interactions:
    """The interactions of a log, filtered and split, over the items that it or its files name.

    Ties in time keep the order of the log. Under a global-time split the time comes before the
    order column, and the k-core counts the training part only.

    Raises:
        SeqRecError: values that cannot be read, ids or times that are missing, a log of which
            nothing is left.
    """
    found = canonical(log)
    user_ids, item_ids = found.user_ids, found.item_ids
    in_log = item_ids
    rows = _Rows(log.name, found.table, found.num_rows)
    unit, renamed = found.time_unit, found.renamed
    del found
    if filters.min_rating is not None:
        if "rating" not in rows.table.columns:
            raise SeqRecError(f"{log.name}: --min-rating needs ratings; name them with --rating")
        is_rated = pl.col("rating") >= filters.min_rating
        rows.keep(is_rated, "below_min_rating", f"--min-rating {filters.min_rating:g}")
    cuts = None
    if split_by.kind == "global-time":
        cuts = _split_at_times(rows, split_by)
    if filters.has_core:
        _keep_core(rows, filters)
    user_ids, item_ids = _number(rows, "user", user_ids), _number(rows, "item", item_ids)
    ordered_by = _order(rows, log, has_time_split=cuts is not None)
    if filters.repeats == "drop-consecutive":
        while _drop_repeats(rows) and filters.has_core and _keep_core(rows, filters):
            pass
        user_ids, item_ids = _number(rows, "user", user_ids), _number(rows, "item", item_ids)
    if cuts is None:
        _split_by_place(rows, split_by)
    if filters.cold_share:
        _withhold(rows, item_ids, filters.cold_share)
        user_ids = _number(rows, "user", user_ids)
    item_ids = _number_by_training(rows, item_ids)
    if catalog == "all":
        unwatched = _unwatched(log, in_log)
        rows.counts["unwatched_items"] = len(unwatched)
        item_ids = item_ids.append(unwatched)
    _count(rows, split_by, ordered_by, len(item_ids))
    own = [name for name in OWN_COLUMNS if name in rows.table.columns]
    names = ("validation_from", "test_from")
    return Interactions(
        table=rows.table.select(*own, pl.exclude(*own, ORDER)),
        user_ids=user_ids,
        item_ids=item_ids,
        counts=rows.counts,
        time_unit=unit,
        ordered_by=ordered_by,
        cuts={name: _iso(cut) for name, cut in zip(names, cuts or (), strict=False)},
        renamed=renamed,
    )


def _split_at_times(rows: _Rows, split_by: SplitBy) -> tuple[int, int]:
    option = f"--split-by {split_by.text}"
    rows.keep(pl.col("time").is_not_null(), "without_time", f"{option}, which needs times,")
    cuts = cut_times(rows.ints("time"), split_by.quantile)
    rows.table = rows.table.with_columns(split=split_at(rows.ints("time"), cuts))
    if not (rows.table["split"] == TRAIN).any():
        raise SeqRecError(f"{rows.name}: {option} leaves nothing to train on: too few times")
    return cuts


def _split_by_place(rows: _Rows, split_by: SplitBy) -> None:
    split = np.full(len(rows.table), TRAIN, dtype=np.uint8)
    if split_by.kind == "last-n":
        split = split_last(rows.ints("user"), split_by.num_held_out)
    rows.table = rows.table.with_columns(split=split)


def _withhold(rows: _Rows, item_ids: pl.Series, share: float) -> None:
    """Leave only test interactions of a fixed share of the items, chosen by their ids alone."""
    by_id = np.random.default_rng(0).permutation(item_ids.arg_sort().to_numpy())
    is_cold = np.zeros(len(item_ids), dtype=bool)
    is_cold[by_id[: round(share * len(item_ids))]] = True
    is_kept = ~is_cold[rows.ints("item")] | (rows.ints("split") == TEST)
    rows.keep(is_kept, "withheld_as_cold", f"--cold-share {share:g}")
    if not (rows.table["split"] == TRAIN).any():
        raise SeqRecError(f"{rows.name}: --cold-share {share:g} leaves nothing to train on")


def _keep_core(rows: _Rows, filters: Filters) -> int:
    """Keep the k-core, of which the training part counts once there is one; rows dropped."""
    counted = rows.ints("split") == TRAIN if "split" in rows.table.columns else None
    is_kept = core(
        rows.ints("user"), rows.ints("item"), filters.min_user, filters.min_item, counted
    )
    option = f"--min-user {filters.min_user} --min-item {filters.min_item}"
    return rows.keep(is_kept, "outside_core", option)


def _drop_repeats(rows: _Rows) -> int:
    """Of neighbours that name the same item keep the first; rows dropped."""
    is_kept = ~is_repeat(rows.ints("user"), rows.ints("item"))
    return rows.keep(is_kept, "repeats_dropped", "--repeats drop-consecutive")


def _number(rows: _Rows, role: str, ids: pl.Series) -> pl.Series:
    """Number users or items by first appearance among the rows; returns their ids."""
    codes = rows.ints(role)
    first = np.full(len(ids), len(codes))
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    order = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(codes))]
    number = np.empty(len(ids), dtype=np.uint32)
    number[order] = np.arange(len(order), dtype=np.uint32)
    rows.table = rows.table.with_columns(pl.Series(role, number[codes]))
    return ids.gather(order)


def _number_by_training(rows: _Rows, ids: pl.Series) -> pl.Series:
    """Number items so that equals in score, of which the lower is listed first, tell nothing.

    Items of the training part come first, in the order in which they appear there; then, in an
    order that no held-out row has a say in, those that are never trained on.
    """
    codes = rows.ints("item")
    trained, first = np.unique(codes[rows.ints("split") == TRAIN], return_index=True)
    unseen = np.setdiff1d(np.arange(len(ids)), trained)
    by_id = unseen[ids.gather(unseen).arg_sort().to_numpy()]
    shuffled = np.random.default_rng(0).permutation(by_id)
    order = np.concatenate([trained[np.argsort(first)], shuffled])
    number = np.empty(len(ids), dtype=np.uint32)
    number[order] = np.arange(len(order), dtype=np.uint32)
    rows.table = rows.table.with_columns(pl.Series("item", number[codes]))
    return ids.gather(order)


def _unwatched(log: Log, in_log: pl.Series) -> pl.Series:
    """Ids of the items that the log's files name and it does not, in random order."""
    if log.items is None:
        raise SeqRecError(f"{log.name}: --catalog all: no file tells of other items; name --items")
    known = log.items["item_id"].cast(pl.String).unique()
    others = known.filter(~known.is_in(in_log.implode())).sort()
    return others.gather(np.random.default_rng(0).permutation(len(others)))


def _order(rows: _Rows, log: Log, has_time_split: bool) -> str:
    """Sort by user, then time or order; counts the neighbours that only the log's order parts."""
    keys = []
    ordered_by = "file"
    has_order = ORDER in rows.table.columns
    if has_time_split:
        keys = ["time", ORDER] if has_order else ["time"]
        ordered_by = "time"
    elif has_order:
        keys = [ORDER]
        ordered_by = str(log.columns.order)
    elif num_missing := rows.table["time"].null_count():
        if num_missing < len(rows.table):
            raise SeqRecError(
                f"{log.name}: {num_missing:,} of {len(rows.table):,} times (column "
                f"{log.columns.time!r}) are missing; name a column that already is each user's "
                f"order with --order, or split by global-time, which drops them"
            )
    else:
        keys = ["time"]
        ordered_by = "time"
    rows.table = rows.table.sort("user", *keys, maintain_order=True)
    rows.counts["tied_pairs"] = _num_tied(rows.table, ["user", *keys]) if keys else 0
    return ordered_by


def _count(rows: _Rows, split_by: SplitBy, ordered_by: str, num_items: int) -> None:
    """Add the counts of what is left."""
    table = rows.table
    users, items = rows.ints("user"), rows.ints("item")
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


def _num_tied(table: pl.DataFrame, keys: list[str]) -> int:
    """Neighbours that agree in all keys."""
    agrees = pl.all_horizontal(pl.col(key) == pl.col(key).shift(1) for key in keys)
    return int(table.select(agrees.sum()).item())


def _num_duplicates(table: pl.DataFrame, ordered_by: str) -> int:
    """Rows that say what an earlier row of the same user, item, time and rating says."""
    what = [name for name in ("user", "item", "time", "rating") if name in table.columns]
    if ordered_by == "time":
        key = pl.col("user", "time")
        is_tied = [pl.all_horizontal(key == key.shift(by)).fill_null(False) for by in (1, -1)]
        table = table.filter(pl.any_horizontal(is_tied))
    return len(table) - table.select(what).n_unique() if len(table) else 0


def _iso(microseconds: int) -> str:
    return str(np.datetime64(microseconds, "us"))
