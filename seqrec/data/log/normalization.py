"""Normalization of a log: its raw columns, checked, in seqrec's own types."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, get_args

import polars as pl
import pyarrow.compute as pc

from seqrec.data.log.dates import READ_SPELLINGS, TIME_TYPE
from seqrec.data.log.ids import count_rows, merge_equal, tidy_ids
from seqrec.data.log.sources import Log
from seqrec.data.log.times import PER_UNIT, parse_times
from seqrec.data.log.values import Parsed, cast_if_numeric, parse_numbers, parse_order
from seqrec.errors import SeqRecError, quote

OWN_COLUMNS = ("user", "item", "time", "split", "rating", "user_id", "item_id")
SUFFIX = "_in_log"
"""Suffix of a log's column that has the name of one of seqrec's columns."""
ORDER_COLUMN = "seqrec order"


MissingIds = Literal["refuse", "drop"]


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading the values of a log."""

    time_format: str | None = None
    """A format of ``strptime``, ``day-first``, ``month-first``, ``spreadsheet-days``, or a
    unit: ``s``, ``ms``, ``us``, ``ns``; None: as the values show."""
    missing_ids: MissingIds = "refuse"
    """``drop`` leaves out rows without a user or an item."""
    verbatim_ids: bool = False
    """True keeps ids as they are: spaces, ``1000.0`` and words such as ``NULL`` included."""

    def __post_init__(self) -> None:
        if self.missing_ids not in get_args(MissingIds):
            choices = ", ".join(get_args(MissingIds))
            raise SeqRecError(f"--missing-ids {self.missing_ids}: choose one of {choices}")


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
    num_without_id: int = 0
    """Rows that were left out for lack of a user or an item."""
    changed_ids: dict[str, int] = field(default_factory=dict)
    """Rows whose id lost spaces around it, or became an integer, by kind."""


def normalize(log: Log, options: ReadOptions | None = None) -> NormalizedLog:
    """Return the log in seqrec's own types, without the blank lines of a text file.

    Raises:
        SeqRecError: a broken source, an empty log, a missing id, a time, rating or order that
            cannot be read, times that may mean something else.
    """
    options = options or ReadOptions()
    raw = log.collect()
    num_rows = len(raw)
    columns = log.columns
    assert columns.user is not None and columns.item is not None
    changed: dict[str, int] = {}
    user, user_ids = _read_ids(log, raw, columns.user, options, changed)
    item, item_ids = _read_ids(log, raw, columns.item, options, changed)
    is_blank, is_without_id = _find_missing_ids(log, raw, user, item, options)
    own, unit = _read_values(log, raw, is_blank | is_without_id, options)
    others, renamed = _other_columns(log, raw)
    time = own.pop("time", pl.Series([None], dtype=TIME_TYPE).new_from_index(0, num_rows))
    table = pl.DataFrame({"user": user, "item": item, "time": time, **own, **others})
    is_dropped = is_blank | is_without_id
    if is_dropped.any():
        table = table.filter(~is_dropped)
    if table.is_empty():
        raise SeqRecError(f"{log.name}: holds no interactions")
    num_without_id = int(is_without_id.sum())
    return NormalizedLog(
        table, user_ids, item_ids, unit, num_rows, renamed, num_without_id, changed
    )


def _read_ids(
    log: Log, raw: pl.DataFrame, name: str, options: ReadOptions, changed: dict[str, int]
) -> tuple[pl.Series, pl.Series]:
    """Return the row of every interaction's id (null if it is missing) and the ids."""
    codes, ids = _encode_ids(raw[name])
    if options.verbatim_ids:
        return codes, ids
    tidy = tidy_ids(ids, f"{log.name}: column {name!r}")
    for kind, mask in (("stripped_ids", tidy.is_stripped), ("whole_float_ids", tidy.is_whole)):
        changed[kind] = changed.get(kind, 0) + count_rows(codes, mask & tidy.ids.is_not_null())
    return merge_equal(codes, tidy.ids)


def _find_missing_ids(
    log: Log, raw: pl.DataFrame, user: pl.Series, item: pl.Series, options: ReadOptions
) -> tuple[pl.Series, pl.Series]:
    """Return masks of the rows that are entirely blank, and of the other rows without an id.

    Raises:
        SeqRecError: a row without an id, unless such rows are dropped.
    """
    is_missing = user.is_null() | item.is_null()
    is_blank = is_missing & False
    if log.is_text and is_missing.any():
        is_blank = raw.select(pl.all_horizontal(pl.all().is_null() | (pl.all() == ""))).to_series()
    is_missing &= ~is_blank
    if is_missing.any() and options.missing_ids == "refuse":
        row = int(is_missing.arg_max() or 0)
        role = "user" if user[row] is None else "item"
        name = log.columns.by_role()[role]
        text = raw[name][row]
        word = str(text or "").strip()
        quoted = f"'{word}'" if word else "empty"
        count = f"{is_missing.sum():,} of {len(raw):,}"
        raise SeqRecError(
            f"{log.where(row)}: the {role}'s id (column {name!r}) is {quoted}; "
            f"{count} rows have no id: drop them with --missing-ids drop"
            + (f", or keep {quoted} as an id with --verbatim-ids" if word else "")
        )
    return is_blank, is_missing


def _read_values(
    log: Log, raw: pl.DataFrame, is_dropped: pl.Series, options: ReadOptions
) -> tuple[dict[str, pl.Series], str | None]:
    """Return the time, rating and order of the log, by name, and the unit of the times."""
    columns = log.columns
    own: dict[str, pl.Series] = {}
    unit = None
    if columns.time is not None:
        parsed = _parse_times(log, raw, columns.time, options.time_format)
        own["time"], unit = parsed.values, parsed.unit
    elif options.time_format is not None:
        raise SeqRecError(
            f"--time-format {options.time_format}: {log.name} has no time column; name it with "
            "--time"
        )
    if columns.rating is not None:
        own["rating"] = _parse(log, raw, columns.rating, "rating", parse_numbers).values
    if columns.order is not None:
        own[ORDER_COLUMN] = _parse(log, raw, columns.order, "order", parse_order).values
        is_missing = own[ORDER_COLUMN].is_null() & ~is_dropped
        if is_missing.any():
            where = log.where(int(is_missing.arg_max() or 0))
            raise SeqRecError(f"{where}: no order (column {columns.order!r} is empty)")
    return own, unit


def _parse_times(log: Log, raw: pl.DataFrame, name: str, format: str | None) -> Parsed:
    if format is not None and raw[name].dtype.is_temporal():
        raise SeqRecError(
            f"--time-format {format}: column {name!r} holds {raw[name].dtype}, not text"
        )
    parsed = _parse(log, raw, name, "time", partial(parse_times, format=format))
    if parsed.doubt is not None:
        choices = "day-first or month-first"
        if parsed.unit in PER_UNIT:
            choices = "s, ms, us, ns, spreadsheet-days, or a format such as %Y"
        raise SeqRecError(
            f"{log.name}: time column {name!r} {parsed.doubt}; choose with --time-format {choices}"
        )
    return parsed


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
        kind, fix = "a number", ""
        if role == "time":
            kind = "a time"
            fix = f"; times are read as in {READ_SPELLINGS}; for others name --time-format"
        raise SeqRecError(
            f"{log.where(row)}: {role} {_quote_value(values, row)} (column {name!r}) is not "
            f"{kind}{fix}"
        )
    return parsed


def _quote_value(values: pl.Series, row: int) -> str:
    """Return a value as text; a date by its number, since no calendar may name it."""
    if values.dtype.is_temporal():
        return f"{values.to_physical()[row]} of {values.dtype}"
    return quote(values[row])


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
