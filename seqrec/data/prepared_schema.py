"""The schema of a prepared folder: types of the manifest's entries, columns and ranges of tables.

Checksums find tables that were edited later. These checks find a folder whose manifest and tables
agree with each other but that ``prepare`` never wrote; readers rely on every one of them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import polars as pl

from seqrec.data.splits import TEST, Targets, parse_split
from seqrec.errors import SeqRecError, quote, refuse_unreadable

FIX = "prepare again"


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_split(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(parse_split(value))
    except SeqRecError:
        return False


def _are_counts(value: object) -> bool:
    return isinstance(value, dict) and all(_is_number(count) for count in value.values())


def _is_number(value: object) -> bool:
    """Test for a number that a message can show, or none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (is_number and abs(value) < 1 << 62)  # type: ignore[arg-type]


ENTRIES: dict[str, Callable[[object], bool]] = {
    "source": _is_text,
    "ordered_by": _is_text,
    "catalog_fingerprint": _is_text,
    "counts": _are_counts,
    "options": lambda value: isinstance(value, dict),
    "options.split_by": _is_split,
    "options.min_rating": _is_number,
    "options.min_user": _is_number,
    "options.min_item": _is_number,
    "options.cold_share": _is_number,
    "options.repeats": _is_text,
    "options.targets": lambda value: value in get_args(Targets),
}
"""A check of every entry that is read, by dotted name."""
OF_A_FILE: dict[str, Callable[[object], bool]] = {"rows": _is_count, "sha256": _is_text}


def check_entries(manifest: Mapping[str, Any], tables: tuple[str, ...], file: Path) -> None:
    """Refuse a manifest with entries of another kind.

    Raises:
        SeqRecError: the first such entry.
    """
    for name, is_right in ENTRIES.items():
        value: Any = manifest
        for part in name.split("."):
            if part not in value:
                raise SeqRecError(f"{file}: {name} is missing; {FIX}")
            value = value[part]
        if not is_right(value):
            raise SeqRecError(f"{file}: {name} is {quote(value)}, which it cannot be; {FIX}")
    for table in tables:
        for key, is_right in OF_A_FILE.items():
            value = manifest["files"][table][key]
            if not is_right(value):
                raise SeqRecError(f"{file}: files.{table}.{key} is {quote(value)}; {FIX}")


def check_numbered(file: Path, role: str) -> None:
    """Refuse a table whose rows are not the users, or items, ``0, 1, 2, ...`` with an id each."""
    with refuse_unreadable(str(file), FIX):
        lazy = pl.scan_parquet(file, glob=False)
        _check_types(lazy, file, {role: _is_integer, f"{role}_id": _is_string})
        faults = lazy.select(
            numbered=(pl.col(role).cast(pl.Int64) == pl.int_range(pl.len())).all(),
            named=pl.col(f"{role}_id").is_not_null().all(),
            unique=pl.col(f"{role}_id").is_unique().all(),
        )
        if (
            not all(faults.collect().row(0))
            or lazy.select(pl.col(role).has_nulls()).collect().item()
        ):
            raise SeqRecError(
                f"{file}: the rows are not the {role}s 0, 1, 2, ... with an id each; {FIX}"
            )


def check_interactions(file: Path, num_users: int, num_items: int) -> None:
    """Refuse interactions that are not sorted by user, or that name others than there are."""
    ranges = {"user": num_users, "item": num_items, "split": TEST + 1}
    with refuse_unreadable(str(file), FIX):
        lazy = pl.scan_parquet(file, glob=False)
        _check_types(lazy, file, dict.fromkeys(ranges, _is_integer))
        checks = {
            name: pl.col(name).is_not_null().all()
            & (pl.col(name) >= 0).all()
            & (pl.col(name) < limit).all()
            for name, limit in ranges.items()
        }
        found = lazy.select(**checks, order=(pl.col("user").diff() >= 0).all()).collect()
        for name in (*ranges, "order"):
            if not found[name].item():
                what = "is not sorted by user" if name == "order" else f"{name}: out of range"
                raise SeqRecError(f"{file}: {what}; {FIX}")


def _is_integer(dtype: pl.DataType) -> bool:
    return dtype.is_integer()


def _check_types(
    lazy: pl.LazyFrame, file: Path, columns: Mapping[str, Callable[[pl.DataType], bool]]
) -> None:
    schema = lazy.collect_schema()
    for name, is_right in columns.items():
        if name not in schema:
            raise SeqRecError(f"{file}: column {name} is missing; {FIX}")
        if not is_right(schema[name]):
            raise SeqRecError(f"{file}: column {name} holds {schema[name]}; {FIX}")


def _is_string(dtype: pl.DataType) -> bool:
    return dtype == pl.String
