"""The pairs file: histories, each with a chosen answer and rejected ones.

A comparison a row, as Parquet, CSV (lists in JSON) or NDJSON:

    user_id   text; the user of the history, whose id decides if the pair is held out. May be
              absent or empty.
    history   the item ids of the history, oldest first; empty: the user's whole training part.
    chosen    an item id, or a slate: a list of ids. Empty for a dislike alone.
    rejected  an item id or several; if ``chosen`` is a slate, a slate or several. Empty for a
              like alone.
    source    origin of the comparison. May be absent.
    weight    weight in the loss, 1 if absent.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from seqrec.data.checksums import file_sha256
from seqrec.data.feedback.annotation_files import read_comparisons, refuse_misspelt
from seqrec.data.feedback.answers import NO_ITEM, UNKNOWN_ITEM, has_repeated_item, pad_answers
from seqrec.data.feedback.counts import describe_counts
from seqrec.data.feedback.pairs import IMPLICIT, Pairs
from seqrec.data.feedback.shown_histories import get_shown_histories
from seqrec.data.prepared import PreparedData
from seqrec.data.tables import write_table
from seqrec.errors import SeqRecError, refuse_unreadable

COLUMNS = ("user_id", "history", "chosen", "rejected", "source", "weight")
MAX_WEIGHT = 1e6
"""Largest weight; float32 sums of a batch stay exact to a few digits."""
HUMAN = "human"
"""The source of comparisons from a file that names none."""


def build_pairs_table(
    user_ids: Sequence[str | None],
    histories: Sequence[Sequence[str]],
    chosen: Sequence[object],
    rejected: Sequence[object],
    *,
    source: str,
    weight: Sequence[float] | None = None,
) -> pl.DataFrame:
    """Return comparisons as the rows of a pairs file.

    Args:
        user_ids: the user of each comparison.
        histories: item ids of each history, oldest first.
        chosen: an item id each, or a slate each.
        rejected: a list of item ids each, or of slates.
        source: origin of the comparisons.
        weight: weight of each comparison; 1 each if absent.
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


def write_pairs(table: pl.DataFrame, file: Path, format: str = "parquet") -> None:
    """Write a pairs file in a format of ``check_table_file``.

    Raises:
        OSError: the file cannot be written.
    """
    write_table(table.select(COLUMNS), file, format)


def read_pairs(file: Path, data: PreparedData, num_items: int | None = None) -> Pairs:
    """Return the comparisons of a pairs file, in rows of the catalog of ``data``.

    Unusable comparisons are skipped and counted: a chosen answer that is also rejected, an answer
    with an unknown id, a history without a known item, a slate with an item twice. Unknown items
    within a history are skipped and counted.

    Args:
        file: a pairs file.
        data: the catalog and users.
        num_items: number of items that the model learns, the first ones of the catalog; pairs
            with other items in their answers are skipped and counted. All items if absent.

    Raises:
        SeqRecError: no such file, a broken one, a missing column or one of another type, a
            negative or non-numeric weight, no usable row.
    """
    return build_pairs(read_comparisons(file), file, data, file_sha256(file), num_items)


def build_pairs(
    table: pl.DataFrame,
    file: Path,
    data: PreparedData,
    fingerprint: str,
    num_items: int | None = None,
) -> Pairs:
    """Build comparisons from the rows of a pairs file; see ``read_pairs``.

    Args:
        table: the rows.
        file: the table's name in messages.
        data: the catalog and users.
        fingerprint: SHA-256 of the file.
        num_items: number of items that the model learns; all items if absent.
    """
    with refuse_unreadable(str(file), "write it with seqrec pairs"):
        return _build_pairs(table, file, data, fingerprint, num_items)


def _build_pairs(
    table: pl.DataFrame, file: Path, data: PreparedData, fingerprint: str, num_items: int | None
) -> Pairs:
    table = _with_all_columns(table, file)
    if not len(table):
        raise SeqRecError(f"{file}: is empty; name a file with a comparison a row")
    item_ids = data.items()["item_id"]
    num_items = data.num_items if num_items is None else num_items
    counts: dict[str, int] = {"rows": len(table)}
    unknown: dict[str, str] = {}
    histories = get_shown_histories(table, file, data, item_ids, counts, unknown)
    item_by_id = {item_id: item for item, item_id in enumerate(item_ids)}
    chosen, rejected = pad_answers(table, file, item_by_id, unknown)
    repeats = (has_repeated_item(chosen[:, None]) | has_repeated_item(rejected)).any(axis=1)
    has_rejected = (rejected != NO_ITEM).any(axis=2)
    is_same = (rejected == chosen[:, None]).all(axis=2) & has_rejected
    is_used = np.ones(len(table), dtype=bool)
    for reason, is_faulty in {
        "empty_histories": histories.lengths == 0,
        "unknown_ids": (chosen == UNKNOWN_ITEM).any(axis=1)
        | (rejected == UNKNOWN_ITEM).any(axis=(1, 2)),
        "without_answer": (chosen[:, 0] == NO_ITEM) & ~has_rejected.any(axis=1),
        "chosen_equals_rejected": is_same.any(axis=1),
        "repeats_in_a_slate": repeats,
        "without_row": (chosen >= num_items).any(axis=1) | (rejected >= num_items).any(axis=(1, 2)),
    }.items():
        counts[reason] = int((is_faulty & is_used).sum())
        is_used &= ~is_faulty
    rows = np.flatnonzero(is_used)
    counts["used"] = len(rows)
    if not len(rows):
        raise SeqRecError(f"{file}: no pair can be used ({describe_counts(counts, unknown)})")
    table = table[rows]
    is_single_item = (chosen[rows] != NO_ITEM).sum(axis=1) == 1
    return Pairs(
        user_ids=table["user_id"].to_list(),
        sources=table["source"].to_list(),
        histories=histories.select(rows),
        chosen=chosen[rows],
        rejected=rejected[rows],
        is_next=(table["source"] == IMPLICIT).fill_null(False).to_numpy() & is_single_item,
        weight=table["weight"].to_numpy(),
        fingerprint=fingerprint,
        counts=counts,
        num_items=num_items,
        unknown=unknown,
    )


def _with_all_columns(table: pl.DataFrame, file: Path) -> pl.DataFrame:
    """Return the table with all columns in their types; answers are unchanged."""
    for names in (("chosen", "rejected"), ("user_id", "history")):
        if not set(names) & set(table.columns):
            raise SeqRecError(
                f"{file}: neither column {names[0]!r} nor {names[1]!r}; it has {table.columns}"
            )
    refuse_misspelt(table.columns, COLUMNS, file)
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
    if len(weight) and weight.max() > MAX_WEIGHT:  # type: ignore[operator]
        row = int(weight.arg_max() or 0)
        raise SeqRecError(
            f"{file}: weight {weight[row]:g} in row {row + 1:,}: at most {MAX_WEIGHT:,.0f}"
        )
    if len(weight) and not (weight.cast(pl.Float32) > 0).any():
        raise SeqRecError(f"{file}: all weights are 0; give some comparisons a weight above 0")
    return table.with_columns(pl.col("user_id", "source").cast(pl.String), weight=weight)


def pairs_to_table(pairs: Pairs, data: PreparedData) -> pl.DataFrame:
    """Return comparisons as the rows of a pairs file."""
    item_ids = data.items()["item_id"].to_list()

    def get_ids(items: np.ndarray) -> list[str]:
        return [item_ids[item] for item in items if item != NO_ITEM]

    is_slate = bool((pairs.chosen != NO_ITEM).sum(axis=1).max(initial=0) > 1)
    is_slate |= bool((pairs.rejected != NO_ITEM).sum(axis=2).max(initial=0) > 1)
    starts = pairs.histories.starts
    shown = [get_ids(pairs.histories.get(row, start)) for row, start in enumerate(starts)]
    chosen: list[object] = []
    rejected: list[object] = []
    for row in range(len(pairs)):
        answer = get_ids(pairs.chosen[row])
        others = [get_ids(other) for other in pairs.rejected[row] if other[0] != NO_ITEM]
        chosen.append((answer if is_slate else answer[0]) if answer else None)
        rejected.append(others if is_slate else [other[0] for other in others])
    table = build_pairs_table(
        pairs.user_ids, shown, chosen, rejected, source=HUMAN, weight=pairs.weight.tolist()
    )
    return table.with_columns(source=pl.Series(pairs.sources, dtype=pl.String).fill_null(HUMAN))
