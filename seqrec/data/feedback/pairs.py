"""The pairs file: after a history, an answer that was preferred, and those that were not.

Parquet that a person can read, a comparison a row:

    user_id   text; of whom it is known, and by whom pairs are held out. May be absent or empty.
    history   the item ids that were shown, oldest first; empty: the user's whole training part.
    chosen    an item id, or a slate: a list of ids. Empty where only a dislike is known.
    rejected  an item id or several; where ``chosen`` is a slate, a slate or several. Empty where
              only a like is known.
    source    where the comparison comes from. May be absent.
    weight    how much it counts, 1 if absent.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from seqrec.data.catalog import read_parquet, write_parquet
from seqrec.data.feedback.holdout import held_out_levels
from seqrec.data.log.sources import sha256_of
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError

IMPLICIT = "implicit"
"""The source of pairs whose chosen title is the one that the user went on with."""
COLUMNS = ("user_id", "history", "chosen", "rejected", "source", "weight")
NONE, UNKNOWN = -1, -2


class Ragged(NamedTuple):
    """Lists end to end: list ``i`` is ``values[ends[i] - lengths[i] : ends[i]]``."""

    values: Int[np.ndarray, " N"]
    lengths: Int[np.ndarray, " P"]

    @property
    def starts(self) -> Int[np.ndarray, " P"]:
        """Where each list starts."""
        return np.cumsum(self.lengths) - self.lengths

    def of(self, row: int, start: int) -> Int[np.ndarray, " T"]:
        """One list, told its start."""
        return self.values[start : start + self.lengths[row]]


@dataclass(frozen=True)
class Pairs:
    """Comparisons in rows of the catalog; what a file holds and nobody could use is left out."""

    user_ids: list[str | None]
    sources: list[str | None]
    histories: Ragged
    chosen: Int[np.ndarray, "P L"]
    """Titles of the chosen answer; -1 behind its end, and all through where there is none."""
    rejected: Int[np.ndarray, "P R L"]
    """Titles of every rejected answer."""
    is_next: Bool[np.ndarray, " P"]
    """Whether the chosen title is the one that the user went on with."""
    weight: Float[np.ndarray, " P"]
    fingerprint: str
    """Of the file."""
    counts: dict[str, int]
    """Rows of the file, those that are used, and those that are not, by reason."""
    num_items: int
    """Items that a model learns; later ones, cold-start items, are in histories alone."""
    unknown: dict[str, str] = field(default_factory=dict)
    """By count of what is unknown, the first such id."""

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def is_one_sided(self) -> Bool[np.ndarray, " P"]:
        """Pairs that are a like or a dislike alone."""
        return (self.chosen[:, 0] == NONE) | (self.rejected[:, :, 0] == NONE).all(axis=1)

    def held_out(self, share: float) -> Bool[np.ndarray, " P"]:
        """The pairs of about such a share of users, the same ones whatever else the file holds.

        A user's id decides; of a pair without one, its history.
        """
        starts = self.histories.starts
        keys = [
            self.histories.of(row, starts[row]).tobytes().hex() if user_id is None else user_id
            for row, user_id in enumerate(self.user_ids)
        ]
        known = list(dict.fromkeys(keys))
        level = dict(zip(known, held_out_levels(known).tolist(), strict=True))
        return np.array([level[key] < share for key in keys], dtype=bool)

    def unrelated(self) -> Int[np.ndarray, "P L"]:
        """For every pair an answer of another one, chosen without regard to what either says."""
        has_chosen = self.chosen[:, 0] != NONE
        answers = np.where(has_chosen[:, None], self.chosen, self.rejected[:, 0])
        order = np.random.default_rng(0).permutation(len(self))
        found = np.empty_like(answers)
        found[order] = answers[np.roll(order, 1)]
        return found


def pairs_table(
    user_ids: Sequence[str | None],
    histories: Sequence[Sequence[str]],
    chosen: Sequence[object],
    rejected: Sequence[object],
    *,
    source: str,
    weight: Sequence[float] | None = None,
) -> pl.DataFrame:
    """Comparisons as the rows of a pairs file.

    Args:
        user_ids: whose history each one is about.
        histories: item ids, oldest first.
        chosen: an item id each, or all of them slates.
        rejected: a list of item ids each, or of slates.
        source: where they come from.
        weight: 1 each if absent.
    """
    is_slate = any(isinstance(answer, list | tuple) for answer in chosen)
    answer = pl.List(pl.String) if is_slate else pl.String()
    return pl.DataFrame(
        {
            "user_id": pl.Series(user_ids, dtype=pl.String),
            "history": pl.Series(histories, dtype=pl.List(pl.String)),
            "chosen": pl.Series(chosen, dtype=answer),
            "rejected": pl.Series(rejected, dtype=pl.List(answer)),
            "source": pl.Series([source] * len(user_ids), dtype=pl.String),
            "weight": pl.Series(weight or [1.0] * len(user_ids), dtype=pl.Float64),
        }
    )


def write_pairs(table: pl.DataFrame, file: Path) -> None:
    """Write a pairs file; whatever goes wrong is an ``OSError``."""
    write_parquet(table.select(COLUMNS), file)


def read_pairs(file: Path, data: PreparedData, num_items: int | None = None) -> Pairs:
    """The comparisons of a pairs file, in the catalog of ``data``.

    Comparisons that say nothing are left out and counted: a chosen answer that is also rejected,
    an id that the catalog does not hold, a history of which nothing is known, a slate that names a
    title twice. Unknown titles within a history are skipped and counted.

    Args:
        file: the pairs file.
        data: whose catalog the ids are of.
        num_items: items that the model learns, the first ones of the catalog; pairs whose answers
            name others are left out and counted. All items if absent.

    Raises:
        SeqRecError: no such file, not Parquet, columns that are missing or of another kind, a
            weight that is negative or no number, nothing that can be used.
    """
    return pairs_of(read_parquet(file), file, data, sha256_of(file), num_items)


def pairs_of(
    table: pl.DataFrame,
    file: Path,
    data: PreparedData,
    fingerprint: str,
    num_items: int | None = None,
) -> Pairs:
    """``read_pairs`` of a table; ``file`` is what messages call it."""
    table = _with_all_columns(table, file)
    if not len(table):
        raise SeqRecError(f"{file}: is empty; name a file with a comparison a row")
    item_ids = data.items()["item_id"]
    num_items = data.num_items if num_items is None else num_items
    counts: dict[str, int] = {"rows": len(table)}
    unknown: dict[str, str] = {}
    histories = _histories(table, file, data, item_ids, counts, unknown)
    item_of = {item_id: item for item, item_id in enumerate(item_ids)}
    chosen, rejected = _answers(table, file, item_of, unknown)
    repeats = (_has_repeat(chosen[:, None]) | _has_repeat(rejected)).any(axis=1)
    rejected_there = (rejected != NONE).any(axis=2)
    is_same = (rejected == chosen[:, None]).all(axis=2) & rejected_there
    is_used = np.ones(len(table), dtype=bool)
    for reason, is_faulty in {
        "empty_histories": histories.lengths == 0,
        "unknown_ids": (chosen == UNKNOWN).any(axis=1) | (rejected == UNKNOWN).any(axis=(1, 2)),
        "without_answer": (chosen[:, 0] == NONE) & ~rejected_there.any(axis=1),
        "chosen_equals_rejected": is_same.any(axis=1),
        "repeats_in_a_slate": repeats,
        "without_row": (chosen >= num_items).any(axis=1) | (rejected >= num_items).any(axis=(1, 2)),
    }.items():
        counts[reason] = int((is_faulty & is_used).sum())
        is_used &= ~is_faulty
    rows = np.flatnonzero(is_used)
    counts["used"] = len(rows)
    if not len(rows):
        raise SeqRecError(f"{file}: no pair can be used ({told(counts, unknown)})")
    table = table[rows]
    is_title = (chosen[rows] != NONE).sum(axis=1) == 1
    return Pairs(
        user_ids=table["user_id"].to_list(),
        sources=table["source"].to_list(),
        histories=_lists_of(histories, rows),
        chosen=chosen[rows],
        rejected=rejected[rows],
        is_next=(table["source"] == IMPLICIT).fill_null(False).to_numpy() & is_title,
        weight=table["weight"].to_numpy(),
        fingerprint=fingerprint,
        counts=counts,
        num_items=num_items,
        unknown=unknown,
    )


def told(counts: dict[str, int], unknown: dict[str, str] | None = None) -> str:
    """Counts as a person reads them, each with its example; those of nothing are left out."""
    example = {key: f" (such as {item_id!r})" for key, item_id in (unknown or {}).items()}
    parts = [
        f"{key.replace('_', ' ')}: {n:,}{example.get(key, '')}" for key, n in counts.items() if n
    ]
    return ", ".join(parts)


def _keep_first(unknown: dict[str, str], count: str, ids: Iterable[str]) -> None:
    """Hold on to an example of what a count counts, if there is one."""
    for item_id in islice(ids, 1):
        unknown[count] = item_id


def _with_all_columns(table: pl.DataFrame, file: Path) -> pl.DataFrame:
    """All columns, in their kinds; answers stay as they are."""
    for either in (("chosen", "rejected"), ("user_id", "history")):
        if not set(either) & set(table.columns):
            raise SeqRecError(
                f"{file}: neither column {either[0]!r} nor {either[1]!r}; it has {table.columns}"
            )
    missing = [pl.lit(None).alias(name) for name in COLUMNS if name not in table.columns]
    table = table.with_columns(missing).select(COLUMNS)
    for name in ("user_id", "source", "weight"):
        if table[name].dtype.is_nested():
            raise SeqRecError(f"{file}: column {name!r} holds lists, not one value a row")
    weight = table["weight"].fill_null(1.0)
    if not weight.dtype.is_numeric():
        raise SeqRecError(f"{file}: column 'weight' holds {weight.dtype}, not numbers")
    weight = weight.cast(pl.Float64)
    is_faulty = ~(weight.is_finite() & (weight >= 0))
    if is_faulty.any():
        first = int(is_faulty.arg_true()[0])
        raise SeqRecError(
            f"{file}: {is_faulty.sum():,} weights are negative or not a number, the first in row "
            f"{first + 1:,} ({weight[first]}); a weight is 0 or more"
        )
    if len(weight) and not (weight > 0).any():
        raise SeqRecError(f"{file}: all weights are 0")
    return table.with_columns(pl.col("user_id", "source").cast(pl.String), weight=weight)


def _histories(
    table: pl.DataFrame,
    file: Path,
    data: PreparedData,
    item_ids: pl.Series,
    counts: dict[str, int],
    unknown: dict[str, str],
) -> Ragged:
    """The history of every row: its own, or else the training part of its user's."""
    try:
        history = table["history"].cast(pl.List(pl.String))
    except pl.exceptions.PolarsError as error:
        raise SeqRecError(
            f"{file}: column 'history' holds {table['history'].dtype}, not lists of item ids"
        ) from error
    lengths = history.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    flat = history.filter(pl.Series(lengths > 0)).explode().rename("item_id").to_frame()
    known = pl.DataFrame({"item_id": item_ids, "item": np.arange(len(item_ids))})
    found_items = flat.join(known, on="item_id", how="left", maintain_order="left")["item"]
    values = found_items.fill_null(NONE).to_numpy()
    counts["unknown_titles_in_histories"] = int((values == NONE).sum())
    strange = flat["item_id"].filter(pl.Series(values == NONE))
    _keep_first(unknown, "unknown_titles_in_histories", strange)
    owners = np.repeat(np.arange(len(lengths)), lengths)[values != NONE]
    found = Ragged(values[values != NONE], np.bincount(owners, minlength=len(lengths)))
    is_open = history.is_null().to_numpy() | (lengths == 0)
    is_open &= table["user_id"].is_not_null().to_numpy()
    if not is_open.any():
        return found
    users = data.users().select("user", "user_id")
    of_row = table.select("user_id").join(users, on="user_id", how="left", maintain_order="left")
    user = of_row["user"].cast(pl.Int64).fill_null(NONE).to_numpy()
    counts["unknown_users"] = int((is_open & (user == NONE)).sum())
    strange = table["user_id"].filter(pl.Series(is_open & (user == NONE)))
    _keep_first(unknown, "unknown_users", strange)
    log = data.histories()
    lists = []
    starts = found.starts
    for row in range(len(lengths)):
        if is_open[row] and user[row] != NONE:
            part = slice(log.offsets[user[row]], log.offsets[user[row] + 1])
            lists.append(log.items[part][log.split[part] == TRAIN].astype(np.int64))
        else:
            lists.append(found.of(row, starts[row]))
    return Ragged(
        np.concatenate([np.empty(0, np.int64), *lists]),
        np.array([len(items) for items in lists], dtype=np.int64),
    )


def _answers(
    table: pl.DataFrame, file: Path, item_of: dict[str, int], unknown: dict[str, str]
) -> tuple[Int[np.ndarray, "P L"], Int[np.ndarray, "P R L"]]:
    """Chosen and rejected answers, padded to the longest."""
    depths = {name: _depth(table[name].dtype) for name in ("chosen", "rejected")}
    if depths["chosen"] > 1 or depths["rejected"] > 2:
        kinds = {name: str(table[name].dtype) for name in depths}
        raise SeqRecError(
            f"{file}: chosen is an item id or a slate of them, rejected a list of such; "
            f"found {kinds}"
        )
    chosen = [_slate(cell) for cell in table["chosen"].to_list()]
    rejected = [_slates(cell, depths) for cell in table["rejected"].to_list()]
    most = max((len(slates) for slates in rejected), default=0)
    every = [*chosen, *(slate for slates in rejected for slate in slates)]
    strange = (title for slate in every for title in slate if title not in item_of)
    _keep_first(unknown, "unknown_ids", strange)
    length = max((len(slate) for slate in every), default=0)
    shape = (len(table), max(most, 1), max(length, 1))
    found = np.full(shape, NONE, dtype=np.int64)
    first = np.full((len(table), shape[2]), NONE, dtype=np.int64)
    for row, (slate, slates) in enumerate(zip(chosen, rejected, strict=True)):
        first[row, : len(slate)] = [item_of.get(item_id, UNKNOWN) for item_id in slate]
        for place, other in enumerate(slates):
            found[row, place, : len(other)] = [item_of.get(title, UNKNOWN) for title in other]
    return first, found


def _depth(dtype: pl.DataType) -> int:
    return 1 + _depth(dtype.inner) if isinstance(dtype, pl.List) else 0  # type: ignore[arg-type]


def _slate(cell: object) -> list[str]:
    """An answer as titles: of an id, itself; of nothing, none."""
    if cell is None:
        return []
    return [str(title) for title in cell] if isinstance(cell, list) else [str(cell)]


def _slates(cell: object, depths: dict[str, int]) -> list[list[str]]:
    """Rejected answers: a list is one slate where chosen is a slate, else several titles."""
    if not isinstance(cell, list):
        return [_slate(cell)] if cell is not None else []
    if depths["rejected"] == 1 and depths["chosen"] == 1:
        return [_slate(cell)] if cell else []
    return [_slate(answer) for answer in cell]


def _has_repeat(answers: Int[np.ndarray, "P R L"]) -> Bool[np.ndarray, "P R"]:
    """Answers that name a title twice."""
    ordered = np.sort(answers, axis=2)
    return ((ordered[:, :, 1:] == ordered[:, :, :-1]) & (ordered[:, :, 1:] >= 0)).any(axis=2)


def _lists_of(lists: Ragged, rows: Int[np.ndarray, " P"]) -> Ragged:
    """Some of the lists."""
    lengths, starts = lists.lengths[rows], lists.starts[rows]
    steps = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Ragged(lists.values[np.repeat(starts, lengths) + steps], lengths)
