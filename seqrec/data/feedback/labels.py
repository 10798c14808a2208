"""The labels file: answers to histories, each with a quality label from 0 to 1.

Parquet, NDJSON, CSV or TSV, a labelled answer a row:

    user_id   text; the user of the history. May be absent or empty.
    history   the item ids of the history, oldest first; absent or empty: the user's whole
              training part, with its ratings.
    slate     the item ids of the answer; or ``item_id`` for an answer of one item.
    label     from 0, bad, to 1, good.

Answers with an item of the history are skipped: the model would read the item's rating.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from seqrec.data.feedback.annotation_files import read_rows, refuse_misspelt
from seqrec.data.feedback.answers import NO_ITEM
from seqrec.data.feedback.counts import describe_counts
from seqrec.data.feedback.ragged import Ragged
from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError, refuse_unreadable

TEXT_LISTS = ("history", "slate")
COLUMNS = ("user_id", "history", "slate", "item_id", "label")


@dataclass(frozen=True)
class Labels:
    """Labelled answers in rows of the catalog, without unusable rows."""

    histories: Ragged
    """Every history once."""
    ratings: Float[np.ndarray, " N"]
    """Ratings of the items in ``histories``; NaN if missing."""
    keys: list[str]
    """The key by which each history is held out: the user's id, or else its item ids."""
    history_of: Int[np.ndarray, " S"]
    """The history of each answer."""
    slates: Int[np.ndarray, "S K"]
    """Items of each answer; -1 behind its end."""
    labels: Float[np.ndarray, " S"]
    counts: dict[str, int]
    """Number of rows in the file, of used rows, and of skipped rows by reason."""


def read_labels(file: Path, data: PreparedData, log: Histories) -> Labels:
    """Return the labelled answers of a file, in rows of the catalog of ``data``.

    Args:
        file: a labels file.
        data: the catalog and users.
        log: histories of ``data``, with the column ``rating`` if there is one.

    Raises:
        SeqRecError: no such file, a missing column or one of another type, a label outside 0 to
            1, no usable row.
    """
    with refuse_unreadable(str(file), "write history, slate or item_id, and label"):
        return _build_labels(_checked(read_rows(file, TEXT_LISTS, "label"), file), file, data, log)


def _build_labels(table: pl.DataFrame, file: Path, data: PreparedData, log: Histories) -> Labels:
    item_by_id = {item_id: item for item, item_id in enumerate(data.items()["item_id"])}
    user_by_id = {user_id: user for user, user_id in enumerate(data.users()["user_id"])}
    counts = {"rows": len(table), "unknown_users": 0, "unknown_ids": 0, "empty_slates": 0}
    counts["already_in_history"] = 0
    numbers: dict[tuple[str, ...], int] = {}
    lists: list[np.ndarray] = []
    ratings: list[np.ndarray] = []
    keys: list[str] = []
    rows, history_of, slates = [], [], []
    cells = zip(*(table[name].to_list() for name in ("user_id", "history", "slate")), strict=True)
    for row, (user_id, shown, slate) in enumerate(cells):
        items = [item_by_id.get(item_id, NO_ITEM) for item_id in slate or []]
        if not items or NO_ITEM in items:
            counts["unknown_ids" if items else "empty_slates"] += 1
            continue
        if not shown and user_id not in user_by_id:
            counts["unknown_users"] += 1
            continue
        key = (user_id or "", *(shown or []))
        if key not in numbers:
            numbers[key] = len(lists)
            if shown:
                items_shown = [item_by_id[item_id] for item_id in shown if item_id in item_by_id]
                history = np.array(items_shown, dtype=np.int64)
                rated = np.full(len(items_shown), np.nan)
            else:
                history, rated = _get_rated_history(log, user_by_id[user_id])
            lists.append(history)
            ratings.append(rated)
            keys.append(user_id or " ".join(shown))
        if np.isin(items, lists[numbers[key]]).any():
            counts["already_in_history"] += 1
            continue
        rows.append(row)
        history_of.append(numbers[key])
        slates.append(items)
    counts["used"] = len(rows)
    if not rows:
        raise SeqRecError(f"{file}: no row can be used ({describe_counts(counts)})")
    return Labels(
        Ragged(np.concatenate(lists), np.array(list(map(len, lists)), dtype=np.int64)),
        np.concatenate(ratings),
        keys,
        np.array(history_of, dtype=np.int64),
        _pad(slates),
        table["label"].to_numpy()[rows],
        counts,
    )


def _checked(table: pl.DataFrame, file: Path) -> pl.DataFrame:
    """Return the table with all columns in their types, or refuse it."""
    columns = set(table.columns)
    refuse_misspelt(table.columns, COLUMNS, file)
    answer = "slate" if "slate" in columns else "item_id"
    if answer in columns and not table[answer].dtype.is_nested():
        table = table.with_columns(slate=pl.concat_list(pl.col(answer).cast(pl.String)))
        columns.add("slate")
    for names in (("slate",), ("label",), ("user_id", "history")):
        if not columns & set(names):
            raise SeqRecError(
                f"{file}: no column {' or '.join(names)}; it has {', '.join(sorted(columns))}"
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
            f"{file}: history and slate must hold lists of item ids, label numbers; {reason}"
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


def _get_rated_history(log: Histories, user: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the items of a user's training part and their ratings."""
    items = log.training_part(user).astype(np.int64)
    if "rating" not in log.columns:
        return items, np.full(len(items), np.nan)
    return items, log.training_part(user, "rating")


def _pad(slates: Sequence[Sequence[int]]) -> Int[np.ndarray, "S K"]:
    padded = np.full((len(slates), max(map(len, slates))), NO_ITEM, dtype=np.int64)
    for row, slate in enumerate(slates):
        padded[row, : len(slate)] = slate
    return padded
