"""Numbers of users and items: the rows of ``users.parquet`` and ``items.parquet``."""

import numpy as np
import polars as pl
from jaxtyping import Int

from seqrec.data.log.sources import Log
from seqrec.data.preparation.rows import Rows
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError


def number_by_appearance(rows: Rows, role: str, ids: pl.Series) -> pl.Series:
    """Number users or items by first appearance among the rows; return their ids in order."""
    codes = rows.get_ints(role)
    first = np.full(len(ids), len(codes))
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    order = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(codes))]
    return _renumber(rows, role, ids, order)


def number_by_training(rows: Rows, ids: pl.Series) -> pl.Series:
    """Number items so that ties in score, which list the lower item first, leak no held-out row.

    Items of the training part come first, by first appearance there. Other items follow in a
    random order that depends on their ids alone.

    Returns:
        The ids in the new order.
    """
    codes = rows.get_ints("item")
    trained, first = np.unique(codes[rows.get_ints("split") == TRAIN], return_index=True)
    unseen = np.setdiff1d(np.arange(len(ids)), trained)
    by_id = unseen[ids.gather(unseen).arg_sort().to_numpy()]
    shuffled = np.random.default_rng(0).permutation(by_id)
    return _renumber(rows, "item", ids, np.concatenate([trained[np.argsort(first)], shuffled]))


def _renumber(rows: Rows, role: str, ids: pl.Series, order: Int[np.ndarray, " I"]) -> pl.Series:
    """Replace the numbers of users or items by their positions in ``order``; return the ids."""
    number = np.empty(len(ids), dtype=np.uint32)
    number[order] = np.arange(len(order), dtype=np.uint32)
    rows.table = rows.table.with_columns(pl.Series(role, number[rows.get_ints(role)]))
    return ids.gather(order)


def get_unwatched_ids(log: Log, in_log: pl.Series) -> pl.Series:
    """Return the ids of items in the log's item files but not in the log, in random order.

    Args:
        log: the log.
        in_log: the ids of the log.

    Raises:
        SeqRecError: the log has no item file.
    """
    if log.items is None:
        raise SeqRecError(f"{log.name}: --catalog all: no file lists other items; name --items")
    known = log.items["item_id"].cast(pl.String).unique()
    others = known.filter(~known.is_in(in_log.implode())).sort()
    return others.gather(np.random.default_rng(0).permutation(len(others)))
