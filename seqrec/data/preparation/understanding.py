"""The manifest's record of how a log was understood: columns, times, order, split and doubts."""

from typing import Any

import polars as pl

from seqrec.data.log.sources import Log
from seqrec.data.log.times import UNIT_NAMES
from seqrec.data.preparation.interactions import Interactions
from seqrec.data.splits import TEST, VALIDATION, SplitBy

DROPS = (
    "outside_where",
    "blank_rows",
    "without_id",
    "duplicates_dropped",
    "below_min_rating",
    "without_time",
    "after_the_end",
    "outside_core",
    "repeats_dropped",
    "withheld_as_cold",
)
"""Counts of dropped rows, by the reason."""


def describe(log: Log, interactions: Interactions, split_by: SplitBy) -> dict[str, Any]:
    """Return how the log was understood, with notes on what stands out."""
    times = interactions.table["time"].drop_nulls()
    counts = interactions.counts
    return {
        "columns": {
            role: {"column": name, "found_by": log.found_by.get(role, "name")}
            for role, name in log.columns.by_role().items()
        },
        "time": None
        if interactions.time_unit is None
        else {
            "unit": UNIT_NAMES[interactions.time_unit],
            "first": _iso(times.min()),
            "last": _iso(times.max()),
        },
        "order": {"by": interactions.ordered_by, "ties": counts["tied_pairs"]},
        "split": {"by": split_by.text, **interactions.cuts, **_spans(interactions.table)},
        "rows": {
            "read": counts["rows_read"],
            "kept": counts["interactions"],
            "dropped": {reason: counts[reason] for reason in DROPS if counts.get(reason)},
        },
        "notes": [*log.notes, *_notes(log, interactions)],
    }


def _spans(table: pl.DataFrame) -> dict[str, list[str]]:
    """Return the first and last time of the validation and the test part, where known."""
    spans = {}
    for name, part in (("validation", VALIDATION), ("test", TEST)):
        times = table.filter(pl.col("split") == part)["time"].drop_nulls()
        if len(times):
            spans[name] = [_iso(times.min()), _iso(times.max())]
    return spans


def _notes(log: Log, interactions: Interactions) -> list[str]:
    counts, seen = interactions.counts, interactions.observations
    notes = []
    if interactions.ordered_by == "file":
        notes.append("no column holds times: each user's rows keep the order of the file")
    if seen.unusual_times:
        notes.append(f"{seen.unusual_times:,} times lie outside of 1990 to 2100")
    if seen.backward_orders and "time" in interactions.ordered_by:
        notes.append(
            f"times and order {log.columns.order!r} disagree at {seen.backward_orders:,} rows: the "
            "time comes first"
        )
    if counts["duplicate_rows"]:
        notes.append(
            f"{counts['duplicate_rows']:,} rows repeat a user, item, time and rating: "
            "--repeats drop-duplicates drops those that are equal in every column"
        )
    if seen.has_large_user:
        user = interactions.user_ids[seen.largest_user]
        notes.append(f"user {user!r} has {seen.largest_share:.0%} of the rows")
    if stripped := seen.changed_ids.get("stripped_ids"):
        notes.append(f"{stripped:,} ids lost spaces around them (--verbatim-ids keeps them)")
    if whole := seen.changed_ids.get("whole_float_ids"):
        notes.append(f"{whole:,} ids such as 1000.0 became 1000 (--verbatim-ids keeps them)")
    return notes


def _iso(time: Any) -> str:
    return time.isoformat(sep=" ", timespec="seconds")
