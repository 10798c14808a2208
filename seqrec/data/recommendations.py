"""The recommendations file or frame: a table with user_id, item_id, rank (1 = best) and score."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from seqrec.data.prepared import PreparedData
from seqrec.data.tables import FORMATS, is_frame, parse_numbers, read_table, to_id_texts
from seqrec.errors import SeqRecError, refuse_unreadable

TIME_INPUT = "time_input"
"""Key of the file's metadata: the times that the recommender received as input."""


@dataclass(frozen=True)
class RecommendationLists:
    """Recommendation lists of all users, in rows of the catalog."""

    items: Int[np.ndarray, "U K"]
    """Best first; -1 after a list's end and for items outside the catalog."""
    lengths: Int[np.ndarray, " U"]
    """Number of recommended items of every user, known or unknown, at most ``K``."""
    unknown_users: list[str]
    """User ids outside the data, in the file's order."""
    unknown_items: list[str]
    tied_users: list[str]
    """Users whose lists hold neighbours with equal scores; these keep the file's order."""
    time_input: str | None
    """The file's ``TIME_INPUT``; None if absent."""


def build_recommendations_table(
    user_ids: Sequence[str],
    item_ids: Sequence[str],
    items: Int[np.ndarray, "Q K"],
    scores: Float[np.ndarray, "Q K"],
) -> pl.DataFrame:
    """Return lists as the rows of a recommendations file, without -1 entries."""
    row, column = np.nonzero(items >= 0)
    return pl.DataFrame(
        {
            "user_id": pl.Series(user_ids, dtype=pl.String).gather(row),
            "item_id": pl.Series(item_ids, dtype=pl.String).gather(items[row, column]),
            "rank": (column + 1).astype(np.int32),
            "score": scores[row, column].astype(np.float32),
        }
    )


def read_recommendations(source: Any, data: PreparedData, k: int) -> RecommendationLists:
    """Return the first ``k`` items of the lists of any recommender for the users of ``data``.

    Lists are ordered by ``rank``, or by ``score`` if there is no rank; equal scores keep the
    file's order. Unknown ids are returned; an unknown item keeps its rank in the list.

    Args:
        source: a Parquet, CSV or NDJSON file, or a frame.
        data: the users and the catalog.
        k: number of items.

    Raises:
        SeqRecError: a missing or broken file, a missing column, an item twice in one list, a
            missing or non-numeric rank or score, ranks other than 1, 2, 3, ...
    """
    name = describe_source(source)
    with refuse_unreadable(name, "write user_id, item_id and rank or score"):
        return _read_lists(source, name, data, k)


def _read_lists(source: Any, file: str, data: PreparedData, k: int) -> RecommendationLists:
    table = parse_numbers(read_table(source, file), ("rank", "score"))
    order = "rank" if "rank" in table.columns else "score"
    for column in ("user_id", "item_id", order):
        if column not in table.columns:
            raise SeqRecError(f"{file}: column {column!r} is missing; it has {table.columns}")
    nested = [name for name in ("user_id", "item_id") if table[name].dtype.is_nested()]
    if nested:
        raise SeqRecError(f"{file}: column {nested[0]!r} holds lists, not one id a row")
    numbers = [column for column in ("rank", "score") if column in table.columns]
    for column in numbers:
        values = table[column]
        if not values.dtype.is_numeric() or values.cast(pl.Float64).is_finite().not_().any():
            raise SeqRecError(f"{file}: column {column!r} holds values that are not numbers")
    named = ("user_id", "item_id", *numbers)
    if table.null_count().select(named).sum_horizontal().item():
        raise SeqRecError(f"{file}: empty values among {', '.join(named)}")
    try:
        table = table.with_columns(to_id_texts(table[name]) for name in ("user_id", "item_id"))
    except pl.exceptions.PolarsError as error:
        raise SeqRecError(f"{file}: user_id or item_id cannot be read as text") from error
    repeated = table.select("user_id", "item_id").is_duplicated()
    if repeated.any():
        user_id, item_id = table.filter(repeated).select("user_id", "item_id").row(0)
        raise SeqRecError(f"{file}: user {user_id!r} is recommended item {item_id!r} twice")
    table = (
        table.join(
            data.users().select("user", "user_id"), on="user_id", how="left", maintain_order="left"
        )
        .join(
            data.items().select("item", "item_id"), on="item_id", how="left", maintain_order="left"
        )
        .sort(order, descending=order == "score", maintain_order=True)
    )
    table = table.with_columns(position=pl.int_range(pl.len()).over("user_id"))
    if order == "rank":
        _check_ranks(table, file)
    is_shown = pl.col("user").is_not_null() & (pl.col("position") < k)
    is_tied = pl.col(order) == pl.col(order).shift(1).over("user_id")
    tied = table.filter(is_shown & is_tied)["user_id"].unique(maintain_order=True).to_list()
    known = table.filter(is_shown)
    items = np.full((data.num_users, k), -1, dtype=np.int64)
    items[known["user"], known["position"]] = known["item"].cast(pl.Int64).fill_null(-1)
    return RecommendationLists(
        items,
        np.bincount(known["user"], minlength=data.num_users),
        table.filter(pl.col("user").is_null())["user_id"].unique(maintain_order=True).to_list(),
        table.filter(pl.col("item").is_null())["item_id"].unique(maintain_order=True).to_list(),
        tied,
        _read_time_input(source),
    )


def describe_source(source: Any) -> str:
    """Return the name of a file or frame in messages."""
    return "the frame of recommendations" if is_frame(source) else str(source)


def _read_time_input(source: Any) -> str | None:
    """Return the metadata of a Parquet file; other formats hold none."""
    if is_frame(source) or FORMATS.get(Path(source).suffix.lower(), "parquet") != "parquet":
        return None
    return pl.read_parquet_metadata(source).get(TIME_INPUT)


def _check_ranks(table: pl.DataFrame, file: str) -> None:
    """Refuse lists, best first, whose ranks have gaps or ties."""
    wrong = table.filter(pl.col("rank") != pl.col("position") + 1)
    if len(wrong):
        user_id, rank, position = wrong.select("user_id", "rank", "position").row(0)
        raise SeqRecError(
            f"{file}: user {user_id!r} has rank {rank} instead of {position + 1}; number each "
            "user's list 1, 2, 3, ..., or drop rank and give scores"
        )
