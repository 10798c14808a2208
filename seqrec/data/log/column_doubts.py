"""Doubts about the order of a log: columns that tell of another order than the found ones."""

from collections.abc import Sequence

import polars as pl

from seqrec.data.log.column_names import names_a_time, names_an_order, names_another_time
from seqrec.data.log.columns import FoundColumns
from seqrec.data.log.times import parse_times
from seqrec.data.log.values import parse_numbers
from seqrec.errors import SeqRecError

CLOCK = r"^\s*\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*$"
"""A time of the day without its date."""


def refuse_contrary_times(
    log: str, sample: pl.DataFrame, found: FoundColumns, others: Sequence[str]
) -> FoundColumns:
    """Return the columns with a note on other columns of times, which give the same order.

    Raises:
        SeqRecError: another column of times of interactions orders a user's rows otherwise; or
            the time holds days, and another column the times of the day.
    """
    time = str(found.columns.time)
    first = parse_times(sample[time]).values.cast(pl.Int64)
    for name in others:
        second = parse_times(sample[name]).values.cast(pl.Int64)
        if not names_another_time(name) and _disagree(sample, found, first, second):
            raise SeqRecError(
                f"{log}: columns {time!r} and {name!r} hold times in different orders; choose with "
                f"--time {time} or --time {name}"
            )
    _refuse_clock(log, sample, found)
    if not others:
        return found
    note = f"columns {list(others)} hold times as well; {time!r} orders the events"
    return FoundColumns(found.columns, found.found_by, (*found.notes, note))


def refuse_unused_order(log: str, sample: pl.DataFrame, found: FoundColumns) -> None:
    """Refuse a log without times whose rows stand in another order than one of its columns.

    Raises:
        SeqRecError: a column is named as an order, and a user's rows do not follow it.
    """
    for name in sample.columns:
        if name in found.taken or not names_an_order(name) or sample[name].dtype.is_nested():
            continue
        parsed = parse_numbers(sample[name]) if sample[name].dtype != pl.Boolean else None
        if parsed is None or parsed.first_bad_row is not None or not parsed.values.count():
            continue
        row = pl.Series(range(len(sample)))
        if _disagree(sample, found, row, parsed.values):
            raise SeqRecError(
                f"{log}: no column holds times, and {name!r} gives another order than the file; "
                f"choose with --order {name}, or keep the order of the file with --time none"
            )


def _disagree(
    sample: pl.DataFrame, found: FoundColumns, first: pl.Series, second: pl.Series
) -> bool:
    """Return True if a user's rows in the first order run backwards in the second."""
    user = sample[str(found.columns.user)]
    rows = pl.DataFrame({"user": user, "first": first, "second": second}).drop_nulls()
    rows = rows.sort("user", "first", "second")
    is_backward = (
        (pl.col("user") == pl.col("user").shift(1))
        & (pl.col("first") > pl.col("first").shift(1))
        & (pl.col("second") < pl.col("second").shift(1))
    )
    return bool(rows.select(is_backward.any()).item())


def _refuse_clock(log: str, sample: pl.DataFrame, found: FoundColumns) -> None:
    time = str(found.columns.time)
    days = parse_times(sample[time]).values.drop_nulls()
    if (days != days.dt.truncate("1d")).any():
        return
    for name in filter(names_a_time, sample.columns):
        values = sample[name].cast(pl.String, strict=False).drop_nulls()
        if name not in found.taken and len(values) and values.str.contains(CLOCK).all():
            raise SeqRecError(
                f"{log}: column {time!r} holds days and {name!r} the times of the day; join them "
                f"in one column, or name --time {time}"
            )
