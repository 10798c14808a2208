"""Histories of new users from a log, and their lists as a frame in the log's own types."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from seqrec.data.log.columns import Columns
from seqrec.data.log.frames import to_lazy_frame
from seqrec.data.log.normalization import normalize
from seqrec.data.log.sources import read_source
from seqrec.data.read_errors import one_line_errors
from seqrec.data.tables import is_frame

TIME = "time"
MICROSECONDS = 1e6


@dataclass(frozen=True)
class HistoryFrame:
    """Histories from a log, in the order in which their users occur."""

    source: Any
    """The path or frame."""
    columns: Columns
    """The columns of the log."""
    user_ids: list[str]
    histories: list[list[str | Mapping[str, Any]]]
    """Item ids, or events with features, oldest first."""

    def build_table(
        self,
        item_ids: Sequence[str],
        items: Int[np.ndarray, "Q K"],
        scores: Float[np.ndarray, "Q K"],
    ) -> Any:
        """Return the lists as a frame: user, item, score and rank, in the source's column names.

        Ids have the types of the source. A pandas frame gives a pandas frame, all else polars.
        """
        row, column = np.nonzero(items >= 0)
        names = (self.columns.user or "user_id", self.columns.item or "item_id")
        ids = (self.user_ids, item_ids)
        texts = [
            pl.Series(name, one, dtype=pl.String).gather(index)
            for name, one, index in zip(names, ids, (row, items[row, column]), strict=True)
        ]
        table = pl.DataFrame(texts).with_columns(
            score=pl.Series(scores[row, column], dtype=pl.Float32),
            rank=pl.Series(column + 1, dtype=pl.Int32),
        )
        if not is_frame(self.source):
            return table
        types = to_lazy_frame(self.source).select(names).collect()
        table = table.with_columns(_restore(table[name], types[name].dtype) for name in names)
        return _to_pandas(table, self.source, names) if is_pandas(self.source) else table


def is_pandas(frame: Any) -> bool:
    """Test whether a frame is one of pandas."""
    return type(frame).__module__.partition(".")[0] == "pandas"


def read_histories(source: Any, features: Sequence[str] = ()) -> HistoryFrame:
    """Return the histories of a log, sorted by time; equal and missing times keep its order.

    Args:
        source: a file, a folder or a frame of interactions.
        features: columns, under the names of a prepared folder, that events should hold.

    Raises:
        SeqRecError: a source that cannot be read; see ``read_source``.
    """
    with one_line_errors("histories"):
        log = read_source(source)
        normalized = normalize(log)
    table = normalized.table
    if TIME in table.columns:
        table = table.sort("user", TIME, maintain_order=True, nulls_last=True)
    else:
        table = table.sort("user", maintain_order=True)
    item_ids, user_ids = normalized.item_ids, normalized.user_ids
    ids = item_ids.gather(table["item"]).to_list()
    given = [name for name in features if name in table.columns]
    events: list[Any] = ids
    if given:
        cells = [_get_cells(table[name]) for name in given]
        events = [
            {"item_id": item_id, **dict(zip(given, values, strict=True))}
            for item_id, *values in zip(ids, *cells, strict=True)
        ]
    ends = np.cumsum(np.bincount(table["user"].to_numpy(), minlength=len(user_ids))).tolist()
    histories = [events[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return HistoryFrame(source, log.columns, user_ids.to_list(), histories)


def _holds_uuids(frame: Any, name: str) -> bool:
    return len(frame) > 0 and isinstance(frame[name].iloc[0], uuid.UUID)


def _get_cells(column: pl.Series) -> list[Any]:
    """Return a column's values; times in seconds since 1970."""
    if isinstance(column.dtype, pl.Datetime):
        return (column.dt.timestamp("us") / MICROSECONDS).to_list()
    return column.to_list()


def _restore(ids: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Return ids in a type; as text if one of them cannot have it."""
    if dtype == pl.Object:
        return ids
    try:
        return ids.cast(dtype)
    except pl.exceptions.PolarsError:
        return ids


def _to_pandas(table: pl.DataFrame, source: Any, names: Sequence[str]) -> Any:
    """Return a pandas frame; columns of UUID objects hold such objects again."""
    frame = table.to_pandas()
    for name in names:
        if _holds_uuids(source, name):
            frame[name] = [uuid.UUID(text) for text in frame[name]]
    return frame
