"""Columns of the items table as texts, numbers or a genre matrix."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from seqrec.errors import SeqRecError

ABOUT = ("plot", "description", "summary", "overview")
"""Columns of text about an item; the first that the items have counts."""


def item_texts(items: pl.DataFrame, columns: Sequence[str], key: str) -> list[str]:
    """Return every item's columns as one text: list entries joined by commas, columns by stops.

    Args:
        items: a row an item.
        columns: columns in the order of the text; empty cells are skipped.
        key: the setting that names the columns, for the error.

    Raises:
        SeqRecError: a column that is missing, that holds neither words nor numbers nor lists of
            them, or that is empty for every item.
    """
    texts = {}
    for column in columns:
        cells = _get_column(items, column, key)
        is_list = isinstance(cells.dtype, pl.List | pl.Array)
        dtype = cells.dtype.inner if is_list else cells.dtype  # type: ignore[attr-defined]
        if dtype.is_nested() or dtype in (pl.Binary, pl.Object, pl.Duration):
            raise SeqRecError(f"{key}: column {column!r} of the items holds {cells.dtype}, no text")
        if dtype.is_float() and not is_list:
            cells = cells.fill_nan(None)
        if is_list:
            cells = cells.cast(pl.List(pl.String)).list.join(", ", ignore_nulls=True)
        texts[column] = cells.cast(pl.String)
        if not (texts[column].str.len_bytes() > 0).any():
            raise SeqRecError(
                f"{key}: no item has a {column!r}; prepare with --items, or from a log with a "
                "sidecar file, such as movies.csv beside ratings.csv"
            )
    joined = pl.DataFrame(texts).select(pl.concat_str(*texts, separator=". ", ignore_nulls=True))
    return joined.to_series().to_list()


def find_text_columns(items: pl.DataFrame, names: Sequence[str]) -> list[str]:
    """Return those of the named columns that the items have, and that hold something."""
    columns = [name for name in names if name in items.columns]
    return [name for name in columns if items[name].null_count() < len(items)]


def find_about(items: pl.DataFrame) -> str | None:
    """Return the column of text about an item; None if the items have none."""
    return next(iter(find_text_columns(items, ABOUT)), None)


def genre_matrix(items: pl.DataFrame) -> Bool[np.ndarray, "I C"] | None:
    """Return a matrix of items and genres, True where an item has a genre; None without genres.

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
    matrix = np.zeros((len(items), len(names)), dtype=bool)
    matrix[pairs["item"].to_numpy(), names.search_sorted(pairs["genre"]).to_numpy()] = True
    return matrix


def item_numbers(items: pl.DataFrame, column: str, key: str) -> Float[np.ndarray, " I"]:
    """Return a column of numbers, NaN for empty cells.

    Args:
        items: a row an item.
        column: the column's name.
        key: the setting that names the column, for the error.

    Raises:
        SeqRecError: the column is missing or holds no numbers.
    """
    values = item_values(items, column, key)
    if values.dtype.kind != "f":
        raise SeqRecError(f"{key}: column {column!r} of the items holds no numbers")
    return values


def item_values(items: pl.DataFrame, column: str, key: str) -> np.ndarray:
    """Return a column of numbers (NaN for empty cells) or of words (empty for empty cells).

    Only the first entry of a list counts.

    Args:
        items: a row an item.
        column: the column's name.
        key: the setting that names the column, for the error.

    Raises:
        SeqRecError: the column is missing or holds neither numbers nor words.
    """
    values = _get_column(items, column, key)
    if isinstance(values.dtype, pl.List):
        values = values.list.first()
    if values.dtype == pl.String:
        return values.fill_null("").to_numpy().astype(str)
    if not values.dtype.is_numeric() and values.dtype != pl.Boolean:
        raise SeqRecError(f"{key}: column {column!r} of the items holds neither numbers nor words")
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _get_column(items: pl.DataFrame, column: str, key: str) -> pl.Series:
    if column not in items.columns:
        raise SeqRecError(
            f"{key}: the items have no column {column!r}; they have {', '.join(items.columns)}"
        )
    return items[column]
