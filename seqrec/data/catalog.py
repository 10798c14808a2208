"""The catalog: which items can be recommended, in which order, and a fingerprint of that."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from seqrec.errors import SeqRecError


def catalog_fingerprint(item_ids: Iterable[str]) -> str:
    """SHA-256 over the ids in item order, each led by its length in bytes."""
    encoded = (item_id.encode("utf-8", "surrogatepass") for item_id in item_ids)
    return hashlib.sha256(b"".join(b"%d:%b" % (len(text), text) for text in encoded)).hexdigest()


def read_parquet(file: Path) -> pl.DataFrame:
    """Read a table; a file that is missing, broken or not Parquet is a ``SeqRecError``."""
    try:
        return pl.read_parquet(file, glob=False)
    except FileNotFoundError as error:
        raise SeqRecError(f"{file}: no such file") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SeqRecError(f"{file}: not a Parquet file, or cut short") from error


def read_items(file: Path) -> pl.DataFrame:
    """The rows of an ``items.parquet``, in item order.

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
    """The rows of a model folder's ``items.parquet``, with ``num_interactions``, in item order.

    Raises:
        SeqRecError: what ``read_items`` refuses, and a table without whole, known counts.
    """
    items = read_items(file)
    if "num_interactions" not in items.columns:
        raise SeqRecError(
            f"{file}: column num_interactions is missing; it has {items.columns}; train again"
        )
    counts = items["num_interactions"]
    if not counts.dtype.is_integer() or counts.has_nulls():
        raise SeqRecError(f"{file}: column num_interactions is not a whole number for every item")
    return items


def item_texts(items: pl.DataFrame, columns: Sequence[str], key: str) -> list[str]:
    """What some columns say of every item, lists with commas and columns with full stops between.

    Args:
        items: a row an item.
        columns: read in this order; an empty cell says nothing.
        key: the setting that names the columns, for the error.

    Raises:
        SeqRecError: a column that the items lack, that holds neither words nor numbers nor lists
            of them, or in which no item says anything.
    """
    said = {}
    for column in columns:
        if column not in items.columns:
            raise SeqRecError(
                f"{key}: the items have no column {column!r}; they have {', '.join(items.columns)}"
            )
        cells = items[column]
        is_list = isinstance(cells.dtype, pl.List | pl.Array)
        of_what = cells.dtype.inner if is_list else cells.dtype  # type: ignore[attr-defined]
        if of_what.is_nested() or of_what in (pl.Binary, pl.Object, pl.Duration):
            raise SeqRecError(f"{key}: column {column!r} of the items holds {cells.dtype}, no text")
        if of_what.is_float() and not is_list:
            cells = cells.fill_nan(None)
        if is_list:
            cells = cells.cast(pl.List(pl.String)).list.join(", ", ignore_nulls=True)
        said[column] = cells.cast(pl.String)
        if not (said[column].str.len_bytes() > 0).any():
            raise SeqRecError(
                f"{key}: no item has a {column!r}; prepare with --items, or from a log beside "
                "which a file tells it, such as movies.csv beside ratings.csv"
            )
    texts = pl.DataFrame(said).select(pl.concat_str(*said, separator=". ", ignore_nulls=True))
    return texts.to_series().to_list()


def genre_matrix(items: pl.DataFrame) -> Bool[np.ndarray, "I C"] | None:
    """Which genres every item has; None if no item has any.

    A genre is an entry of a list, or a part of a text between ``|``.
    """
    if "genres" not in items.columns:
        return None
    genres = items["genres"]
    if genres.dtype == pl.String:
        genres = genres.str.split("|")
    if not isinstance(genres.dtype, pl.List):
        return None
    pairs = pl.DataFrame({"item": np.arange(len(items)), "genre": genres}).explode("genre")
    pairs = pairs.drop_nulls()
    if not len(pairs):
        return None
    names = pairs["genre"].unique().sort()
    found = np.zeros((len(items), len(names)), dtype=bool)
    found[pairs["item"].to_numpy(), names.search_sorted(pairs["genre"]).to_numpy()] = True
    return found


def number_column(items: pl.DataFrame, column: str, key: str) -> Float[np.ndarray, " I"]:
    """A column of numbers, NaN where it is empty.

    Raises:
        SeqRecError: the items lack it, or it holds no numbers. ``key`` is the setting that asks.
    """
    values = item_values(items, column, key)
    if values.dtype.kind != "f":
        raise SeqRecError(f"{key}: column {column!r} of the items holds no numbers")
    return values


def item_values(items: pl.DataFrame, column: str, key: str) -> np.ndarray:
    """A column of numbers (NaN where it is empty) or of words (empty where it is).

    Of a list its first entry is taken.

    Raises:
        SeqRecError: the items lack the column, or it holds neither. ``key`` is who asks.
    """
    if column not in items.columns:
        raise SeqRecError(
            f"{key}: the items have no column {column!r}; they have {', '.join(items.columns)}"
        )
    values = items[column]
    if isinstance(values.dtype, pl.List):
        values = values.list.first()
    if values.dtype == pl.String:
        return values.fill_null("").to_numpy().astype(str)
    if not values.dtype.is_numeric() and values.dtype != pl.Boolean:
        raise SeqRecError(f"{key}: column {column!r} of the items holds neither numbers nor words")
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def write_items(items: pl.DataFrame, num_interactions: Int[np.ndarray, " I"], file: Path) -> None:
    """Write an ``items.parquet`` that also says how often each item occurs in training."""
    counted = items.with_columns(num_interactions=pl.Series(num_interactions, dtype=pl.Int64))
    write_parquet(counted, file)


def write_parquet(table: pl.DataFrame, file: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write a table; whatever goes wrong (a full disk, say) is an ``OSError``.

    Args:
        table: what is written.
        file: where.
        notes: what the file says of itself, in its schema's metadata.
    """
    try:
        table.write_parquet(file, metadata=None if notes is None else dict(notes))
    except pl.exceptions.PolarsError as error:
        raise OSError(f"{file.name}: {' '.join(str(error).split())}") from error
