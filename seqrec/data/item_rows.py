"""Rows of items for other systems: id, vector, and columns of the items table."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Float

from seqrec.errors import SeqRecError

DEFAULT_COLUMNS = ("title", "genres", "num_interactions")
"""Columns that rows carry if the items have them."""
ID, VECTOR = "id", "vector"
SEPARATOR = "|"


def build_item_rows(
    items: pl.DataFrame, vectors: Float[np.ndarray, "I D"], payload: Sequence[str]
) -> pa.Table:
    """Return a row per item: id as in the log, vector, title, genres, count, and chosen columns.

    Columns hold texts, lists of texts, 64-bit integers and floats, or flags; values of other types
    are written as text.

    Args:
        items: the items table of a model.
        vectors: a vector for every item.
        payload: further columns.

    Raises:
        SeqRecError: a column that the items lack, or that no store could hold.
    """
    if not np.isfinite(vectors).all():
        raise SeqRecError("item vectors hold NaN or infinity: the model's weights are broken")
    names = [name for name in DEFAULT_COLUMNS if name in items.columns]
    names += [name for name in dict.fromkeys(payload) if name not in names]
    flat = pa.array(np.asarray(vectors, dtype=np.float32).reshape(-1))
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        ID: pa.array(items["item_id"].to_list(), type=pa.string()),
        VECTOR: pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
    }
    for name in names:
        if name not in items.columns:
            held = ", ".join(items.columns)
            raise SeqRecError(f"--payload {name}: no such column; the items have {held}")
        if name in columns or not (name.isidentifier() and name.isascii()):
            raise SeqRecError(f"--payload {name}: rename the column to plain letters and digits")
        columns[name] = _convert(items[name], name)
    return pa.table(columns)


def _convert(cells: pl.Series, name: str) -> pa.Array:
    """Return a column in one of the types that every system knows."""
    if name == "genres" and cells.dtype == pl.String:
        cells = cells.str.split(SEPARATOR)
    if isinstance(cells.dtype, pl.List | pl.Array):
        if cells.dtype.inner.is_nested():
            raise SeqRecError(f"--payload {name}: holds lists of lists")
        texts = cells.cast(pl.List(pl.String)).list.drop_nulls()
        return pa.array(texts.to_list(), type=pa.list_(pa.string()))
    if cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object):
        raise SeqRecError(f"--payload {name}: holds {cells.dtype}, which is no value or list")
    if cells.dtype == pl.Boolean:
        return pa.array(cells.to_list(), type=pa.bool_())
    if cells.dtype.is_integer() and cells.dtype != pl.UInt64:
        return pa.array(cells.to_list(), type=pa.int64())
    if cells.dtype.is_float():
        return pa.array(cells.fill_nan(None).to_list(), type=pa.float64())
    return pa.array(cells.cast(pl.String).to_list(), type=pa.string())
