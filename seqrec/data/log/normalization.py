"""Normalization of a log: its raw columns, checked, in seqrec's own types."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
import pyarrow.compute as pc

from seqrec.data.log.sources import Log
from seqrec.data.log.values import (
    TIME_TYPE,
    Parsed,
    cast_if_numeric,
    parse_numbers,
    parse_order,
    parse_times,
)
from seqrec.errors import SeqRecError

OWN_COLUMNS = ("user", "item", "time", "split", "rating", "user_id", "item_id")
SUFFIX = "_in_log"
"""Suffix of a log's column that has the name of one of seqrec's columns."""
ORDER_COLUMN = "seqrec order"


@dataclass(frozen=True)
class NormalizedLog:
    """The interactions of a log, in the order of the log."""

    table: pl.DataFrame
    """``user`` and ``item`` (rows of the ids), ``time``, ``rating`` and ``ORDER_COLUMN`` if the log
    has them, and the log's other columns."""
    user_ids: pl.Series
    """In order of first appearance."""
    item_ids: pl.Series
    """In order of first appearance."""
    time_unit: str | None
    """``s``, ``ms``, ``us``, ``ns`` or ``date``; None if the log has no times."""
    num_rows: int
    """Rows of the log, blank ones included."""
    renamed: dict[str, str]
    """Old and new names of columns that had the name of one of seqrec's columns."""


def normalize(log: Log) -> NormalizedLog:
    """Return the log in seqrec's own types, without the blank lines of a text file.

    Raises:
        SeqRecError: a broken source, an empty log, a missing id, a time, rating or order that
            cannot be read.
    """
    raw = log.collect()
    num_rows = len(raw)
    columns = log.columns
    assert columns.user is not None and columns.item is not None
    is_blank = _check_ids(log, raw, [columns.user, columns.item])
    own: dict[str, pl.Series] = {}
    unit = None
    if columns.time is not None:
        parsed = _parse(log, raw, columns.time, "time", parse_times)
        own["time"], unit = parsed.values, parsed.unit
    if columns.rating is not None:
        own["rating"] = _parse(log, raw, columns.rating, "rating", parse_numbers).values
    if columns.order is not None:
        own[ORDER_COLUMN] = _parse(log, raw, columns.order, "order", parse_order).values
        is_missing = own[ORDER_COLUMN].is_null() & ~is_blank
        if is_missing.any():
            where = log.where(int(is_missing.arg_max() or 0))
            raise SeqRecError(f"{where}: no order (column {columns.order!r} is empty)")
    user, user_ids = _encode_ids(raw[columns.user])
    item, item_ids = _encode_ids(raw[columns.item])
    others, renamed = _other_columns(log, raw)
    time = own.pop("time", pl.Series([None], dtype=TIME_TYPE).new_from_index(0, num_rows))
    table = pl.DataFrame({"user": user, "item": item, "time": time, **own, **others})
    if is_blank.any():
        table = table.filter(~is_blank)
    if table.is_empty():
        raise SeqRecError(f"{log.name}: holds no interactions")
    return NormalizedLog(table, user_ids, item_ids, unit, num_rows, renamed)


def _check_ids(log: Log, raw: pl.DataFrame, ids: list[str]) -> pl.Series:
    """Refuse missing ids; return a mask of the rows that are entirely blank."""
    is_empty = [raw[name].is_null() | (raw[name] == "") for name in ids]
    is_wrong = is_empty[0] | is_empty[1]
    is_blank = is_wrong & False
    if log.is_text and is_wrong.any():
        is_blank = raw.select(pl.all_horizontal(pl.all().is_null() | (pl.all() == ""))).to_series()
    is_wrong &= ~is_blank
    if is_wrong.any():
        row = int(is_wrong.arg_max() or 0)
        role, name = ("user", ids[0]) if is_empty[0][row] else ("item", ids[1])
        raise SeqRecError(f"{log.where(row)}: the {role}'s id (column {name!r}) is empty")
    return is_blank


def _parse(
    log: Log, raw: pl.DataFrame, name: str, role: str, parse: Callable[[pl.Series], Parsed]
) -> Parsed:
    values = raw[name]
    if not (values.dtype.is_numeric() or values.dtype.is_temporal() or values.dtype == pl.String):
        if values.null_count() < len(values):
            raise SeqRecError(f"{log.name}: {role} column {name!r} holds {values.dtype}")
        values = values.cast(pl.Float64)
    parsed = parse(values)
    if parsed.first_bad_row is not None:
        row = parsed.first_bad_row
        kind = "a time" if role == "time" else "a number"
        raise SeqRecError(
            f"{log.where(row)}: {role} {values[row]!r} (column {name!r}) is not {kind}"
        )
    return parsed


def _encode_ids(ids: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Number ids in order of first appearance; return numbers (null for empty ids) and ids."""
    encoded = pc.dictionary_encode(ids.set(ids == "", None).to_arrow())
    if hasattr(encoded, "combine_chunks"):
        encoded = encoded.combine_chunks()
    codes = pl.Series(ids.name, encoded.indices).cast(pl.UInt32)
    return codes, pl.Series(ids.name, encoded.dictionary, dtype=pl.String)


def _other_columns(log: Log, raw: pl.DataFrame) -> tuple[dict[str, pl.Series], dict[str, str]]:
    """Return the columns without a role and the order; text columns of numbers become numbers."""
    roles = log.columns.by_role()
    taken = {name for role, name in roles.items() if role != "order"}
    others, renamed = {}, {}
    for name in raw.columns:
        if name in taken:
            continue
        values = raw[name]
        if log.is_text:
            values = cast_if_numeric(values)
        elif values.dtype in (pl.Categorical, pl.Enum, pl.Null):
            values = values.cast(pl.String)
        if name.lower() in OWN_COLUMNS:
            renamed[name] = name + SUFFIX
        others[renamed.get(name, name)] = values
    return others, renamed
