"""The catalog: the recommendable items in order, and its fingerprint."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int

from seqrec.data.parquet import read_parquet, write_parquet
from seqrec.errors import SeqRecError


def catalog_fingerprint(item_ids: Iterable[str]) -> str:
    """Return the SHA-256 over the ids in item order, each preceded by its length in bytes."""
    encoded = (item_id.encode("utf-8", "surrogatepass") for item_id in item_ids)
    return hashlib.sha256(b"".join(b"%d:%b" % (len(text), text) for text in encoded)).hexdigest()


def read_items(file: Path) -> pl.DataFrame:
    """Return the rows of an ``items.parquet``, in item order.

    Raises:
        SeqRecError: no such file, not Parquet, or rows that are not items ``0, 1, 2, ...``.
    """
    items = read_parquet(file)
    if not {"item", "item_id"} <= set(items.columns):
        raise SeqRecError(f"{file}: columns item and item_id are missing; it has {items.columns}")
    is_numbered = np.array_equal(items["item"].to_numpy(), np.arange(len(items)))
    if not is_numbered or items["item_id"].dtype != pl.String or items["item_id"].has_nulls():
        raise SeqRecError(f"{file}: the rows are not the items 0, 1, 2, ... with an id each")
    return items


def read_model_items(file: Path) -> pl.DataFrame:
    """Return the rows of a model folder's ``items.parquet``, with ``num_interactions``.

    Raises:
        SeqRecError: see ``read_items``; also a table without an integer count for every item.
    """
    items = read_items(file)
    if "num_interactions" not in items.columns:
        raise SeqRecError(
            f"{file}: column num_interactions is missing; it has {items.columns}; train again"
        )
    counts = items["num_interactions"]
    if not counts.dtype.is_integer() or counts.has_nulls():
        raise SeqRecError(f"{file}: column num_interactions is not an integer for every item")
    return items


def write_items(items: pl.DataFrame, num_interactions: Int[np.ndarray, " I"], file: Path) -> None:
    """Write an ``items.parquet`` with the number of training interactions of each item."""
    write_parquet(with_counts(items, num_interactions), file)


def with_counts(items: pl.DataFrame, num_interactions: Int[np.ndarray, " I"]) -> pl.DataFrame:
    """Return items with the number of training interactions of each."""
    return items.with_columns(num_interactions=pl.Series(num_interactions, dtype=pl.Int64))
