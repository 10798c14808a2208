"""Guess the columns of a log from their names and from what they hold."""

from collections.abc import Sequence

import polars as pl

from seqrec.data.log.column_doubts import refuse_contrary_times, refuse_unused_order
from seqrec.data.log.column_names import (
    COMMON_NAMES,
    SESSION_NAMES,
    may_name_a_time,
    names_a_time,
    names_an_id,
    names_another_time,
    simplify_name,
)
from seqrec.data.log.columns import NO_TIME, Columns, FoundColumns, check_columns
from seqrec.data.log.times import looks_like_times
from seqrec.errors import SeqRecError

MOST = 0.5
"""Share of the first values that show the role of a column; the others may be faults."""
FEW_ROWS = 20
"""First rows whose values are looked at one by one."""


def guess_columns(log: str, sample: pl.DataFrame, requested: Columns) -> FoundColumns:
    """Return the requested columns, completed by those whose names and values fit.

    Args:
        log: the log's name in messages.
        sample: the first rows of the log.
        requested: the columns that the user named.

    Raises:
        SeqRecError: a requested column is missing; no column, or more than one, looks like the
            user's, the item's or the time's.
    """
    found = _start(log, sample.columns, requested)
    for role in ("user", "item"):
        if role not in found.found_by:
            found = _guess_id(log, sample, found, role)
    if requested.time is None:
        found = _guess_time(log, sample, found)
    if "rating" not in found.found_by:
        found = _guess_rating(sample, found)
    return found


def assign_columns(log: str, sample: pl.DataFrame, requested: Columns) -> FoundColumns:
    """Return the columns of a log without a header, by their position and values.

    Two columns are user and item; a third is the time if its values are times, else the rating;
    four are user, item, rating and time.

    Raises:
        SeqRecError: the values do not fit, or there are more columns.
    """
    names = sample.columns
    found = _start(log, names, requested)
    is_time = {name: looks_like_times(sample[name]) for name in names}
    roles = ["user", "item"]
    if len(names) == 3:
        roles.append("time" if is_time[names[2]] else "rating")
    elif len(names) == 4:
        roles += ["rating", "time"]
    by_position = dict(zip(roles, names, strict=False)) if len(names) <= 4 else {}
    fits = all(_fits(sample[name], role) for role, name in by_position.items())
    if fits or _is_settled(by_position, found):
        for role, name in by_position.items():
            if role not in found.found_by and name not in found.taken and requested.time != NO_TIME:
                found = found.add(role, name, "position")
    missing = [role for role in ("user", "item") if role not in found.found_by]
    if missing or (
        requested.time is None and "time" not in found.found_by and any(is_time.values())
    ):
        first = [str(value) for value in sample.row(0)]
        flags = " ".join(f"--{role} {name}" for role, name in zip(roles, names, strict=False))
        raise SeqRecError(
            f"{log}: has no header, and its first row {first} does not fit user, item, rating, "
            f"time; its columns are named {names}: name them, as in {flags}, with --time none if "
            "no column is a time"
        )
    return found


def _fits(values: pl.Series, role: str) -> bool:
    """Return True if the values may have a role: the times are mostly times, others are not."""
    if role == "time":
        rows = range(min(len(values), FEW_ROWS))
        is_time = [looks_like_times(values[row : row + 1]) for row in rows]
        return sum(is_time) >= MOST * len(rows)
    return not looks_like_times(values) and (role != "rating" or _share_of_numbers(values) >= MOST)


def _share_of_numbers(values: pl.Series) -> float:
    text = values.cast(pl.String).str.strip_chars()
    return text.cast(pl.Float64, strict=False).count() / max(len(text), 1)


def _is_settled(by_position: dict[str, str], found: FoundColumns) -> bool:
    """Return True if the user has named every column whose position decides."""
    return {"user", "item", "time"} & by_position.keys() <= found.found_by.keys()


def _start(log: str, names: Sequence[str], requested: Columns) -> FoundColumns:
    columns = check_columns(log, names, requested)
    return FoundColumns(columns, dict.fromkeys(columns.by_role(), "flag"))


def _guess_id(log: str, sample: pl.DataFrame, found: FoundColumns, role: str) -> FoundColumns:
    free = [name for name in sample.columns if name not in found.taken]
    simple = {simplify_name(name): name for name in reversed(free)}
    common = (*COMMON_NAMES[role], *(SESSION_NAMES if role == "user" else ()))
    name = next((simple[one] for one in common if one in simple), None)
    if name is not None:
        _refuse_same_names(log, free, name, role)
        return found.add(role, name, "name")
    candidates = [name for name in free if names_an_id(name, role)]
    if len(candidates) == 1:
        return found.add(role, candidates[0], "name")
    which = f"{candidates} all look" if candidates else "no column looks"
    raise SeqRecError(
        f"{log}: {which} like the {role}'s; name one of {sample.columns} with --{role}"
    )


def _guess_time(log: str, sample: pl.DataFrame, found: FoundColumns) -> FoundColumns:
    """Add the time column: a common name, else the only column whose name and values fit."""
    free = [name for name in sample.columns if name not in found.taken]
    times = [name for name in free if looks_like_times(sample[name])]
    simple = {simplify_name(name): name for name in reversed(free)}
    common = [simple[one] for one in COMMON_NAMES["time"] if one in simple]
    named = [name for name in common if name in times]
    if named:
        others = [name for name in times if name != named[0]]
        _refuse_same_names(log, free, named[0], "time")
        return refuse_contrary_times(log, sample, found.add("time", named[0], "name"), others)
    fitting = [name for name in times if names_a_time(name)]
    if not fitting and not common:
        fitting = [n for n in times if may_name_a_time(n) and not names_another_time(n)]
    if len(fitting) == 1 and not common:
        by = "name and values" if names_a_time(fitting[0]) else "values"
        others = [name for name in times if name != fitting[0]]
        return refuse_contrary_times(log, sample, found.add("time", fitting[0], by), others)
    if times and "order" not in found.found_by:
        which = f"{times[0]!r} holds" if len(times) == 1 else f"{times} hold"
        raise SeqRecError(
            f"{log}: no column is surely the time of an interaction, but {which} times; choose "
            f"with --time {times[0]}, or keep the order of the file with --time none"
        )
    if common and not times:
        return found.add("time", common[0], "name")
    if "order" not in found.found_by:
        refuse_unused_order(log, sample, found)
    return found


def _refuse_same_names(log: str, names: Sequence[str], chosen: str, role: str) -> None:
    """Refuse columns whose names differ in case and signs alone."""
    same = [name for name in names if simplify_name(name) == simplify_name(chosen)]
    if len(same) > 1:
        raise SeqRecError(f"{log}: {same} all look like the {role}'s; name one with --{role}")


def _guess_rating(sample: pl.DataFrame, found: FoundColumns) -> FoundColumns:
    free = [name for name in sample.columns if name not in found.taken]
    simple = {simplify_name(name): name for name in reversed(free)}
    for name in (simple[one] for one in COMMON_NAMES["rating"] if one in simple):
        values = sample[name].drop_nulls()
        if values.dtype != pl.String or values.is_empty() or _share_of_numbers(values):
            return found.add("rating", name, "name")
        return FoundColumns(
            found.columns,
            found.found_by,
            (*found.notes, f"column {name!r} is no rating: its values are not numbers"),
        )
    return found
