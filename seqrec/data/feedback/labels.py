"""The labels file: after a history, an answer, and how good it was found, from 0 to 1.

Parquet, NDJSON, CSV or TSV, a labelled answer a row:

    user_id   text; whose the history is. May be absent or empty.
    history   the item ids that were shown, oldest first; absent or empty: the user's whole
              training part, with its ratings.
    slate     the item ids of the answer; or, where it is one title, ``item_id``.
    label     from 0, bad, to 1, good.

An answer that the history holds already is left out: its rating would be read beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from seqrec.data.feedback.pair_sources import read_rows
from seqrec.data.feedback.pairs import NONE, Ragged, told
from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError

TEXT_LISTS = ("history", "slate")


@dataclass(frozen=True)
class Labels:
    """Labelled answers in rows of the catalog; what a file holds and nobody could use is left
    out."""

    histories: Ragged
    """Every history once."""
    ratings: Float[np.ndarray, " N"]
    """Of their titles; NaN where there is none."""
    keys: list[str]
    """Of every history, by which it is held out: the user's id, or else its titles."""
    history_of: Int[np.ndarray, " S"]
    """Which history each answer is to."""
    slates: Int[np.ndarray, "S K"]
    """Titles; -1 behind an answer's end."""
    labels: Float[np.ndarray, " S"]
    counts: dict[str, int]
    """Rows of the file, those that are used, and those that are not, by reason."""


def read_labels(file: Path, data: PreparedData, log: Histories) -> Labels:
    """The labelled answers of a file, in the catalog of ``data``.

    Args:
        file: as above.
        data: whose catalog and users are meant.
        log: its histories, with the column ``rating`` if there is one.

    Raises:
        SeqRecError: no such file, columns that are missing or of another kind, a label that is
            not from 0 to 1, nothing that can be used.
    """
    table = _checked(read_rows(file, TEXT_LISTS, "label"), file)
    item_of = {item_id: item for item, item_id in enumerate(data.items()["item_id"])}
    user_of = {user_id: user for user, user_id in enumerate(data.users()["user_id"])}
    counts = {"rows": len(table), "unknown_users": 0, "unknown_ids": 0, "empty_slates": 0}
    counts["already_in_history"] = 0
    known: dict[tuple[str, ...], int] = {}
    lists: list[np.ndarray] = []
    ratings: list[np.ndarray] = []
    keys: list[str] = []
    rows, history_of, slates = [], [], []
    cells = zip(*(table[name].to_list() for name in ("user_id", "history", "slate")), strict=True)
    for row, (user_id, shown, slate) in enumerate(cells):
        items = [item_of.get(item_id, NONE) for item_id in slate or []]
        if not items or NONE in items:
            counts["unknown_ids" if items else "empty_slates"] += 1
            continue
        if not shown and user_id not in user_of:
            counts["unknown_users"] += 1
            continue
        key = (user_id or "", *(shown or []))
        if key not in known:
            known[key] = len(lists)
            if shown:
                found = [item_of[item_id] for item_id in shown if item_id in item_of]
                history = np.array(found, dtype=np.int64)
                rated = np.full(len(found), np.nan)
            else:
                history, rated = _rated_part(log, user_of[user_id])
            lists.append(history)
            ratings.append(rated)
            keys.append(user_id or " ".join(shown))
        if np.isin(items, lists[known[key]]).any():
            counts["already_in_history"] += 1
            continue
        rows.append(row)
        history_of.append(known[key])
        slates.append(items)
    counts["used"] = len(rows)
    if not rows:
        raise SeqRecError(f"{file}: no row can be used ({told(counts)})")
    return Labels(
        Ragged(np.concatenate(lists), np.array(list(map(len, lists)), dtype=np.int64)),
        np.concatenate(ratings),
        keys,
        np.array(history_of, dtype=np.int64),
        _padded(slates),
        table["label"].to_numpy()[rows],
        counts,
    )


def _checked(table: pl.DataFrame, file: Path) -> pl.DataFrame:
    """The table with all columns, each of its kind."""
    columns = set(table.columns)
    alone = "slate" if "slate" in columns else "item_id"
    if alone in columns and not table[alone].dtype.is_nested():
        table = table.with_columns(slate=pl.concat_list(pl.col(alone).cast(pl.String)))
        columns.add("slate")
    for either in (("slate",), ("label",), ("user_id", "history")):
        if not columns & set(either):
            raise SeqRecError(
                f"{file}: no column {' or '.join(either)}; it has {', '.join(sorted(columns))}"
            )
    missing = [pl.lit(None).alias(name) for name in ("user_id", "history") if name not in columns]
    texts = pl.List(pl.String)
    try:
        table = table.with_columns(missing).with_columns(
            pl.col("user_id").cast(pl.String),
            pl.col("history").cast(texts),
            pl.col("slate").cast(texts),
            pl.col("label").cast(pl.Float64),
        )
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise SeqRecError(
            f"{file}: history and slate hold lists of item ids, label a number; {reason}"
        ) from error
    label = table["label"].fill_null(float("nan"))
    is_faulty = ~label.is_between(0, 1)
    if is_faulty.any():
        row = int(is_faulty.arg_true()[0])
        raise SeqRecError(
            f"{file}: {is_faulty.sum():,} labels are not from 0 to 1, the first in row "
            f"{row + 1:,} ({label[row]})"
        )
    return table


def _rated_part(log: Histories, user: int) -> tuple[np.ndarray, np.ndarray]:
    """A user's training interactions and their ratings."""
    items = log.training_part(user).astype(np.int64)
    if "rating" not in log.columns:
        return items, np.full(len(items), np.nan)
    return items, log.training_part(user, "rating")


def _padded(slates: Sequence[Sequence[int]]) -> Int[np.ndarray, "S K"]:
    found = np.full((len(slates), max(map(len, slates))), NONE, dtype=np.int64)
    for row, slate in enumerate(slates):
        found[row, : len(slate)] = slate
    return found
