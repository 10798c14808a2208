"""Mutations of bytes, of JSON values and of tables."""

import copy
import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

Generator = np.random.Generator

HOSTILE: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 1e300, 1e-300, 0.5, "", " ", "x",
    "yes", "010", "1:30", "null", "\x00", "é" * 3, "x" * 5000, "../..", "/dev/zero", "$HOME",
    "a\nb", [], {}, [[]], [1, "a", None], {"a": {"b": 1}}, [0] * 500, {"name": "x"},
    float("nan"), float("inf"), "💥", "١", "-", "{seed}", "*", "[", "\u2028", "\ud800",
]  # fmt: skip
"""Values of every type that JSON knows, among them the largest and the emptiest."""


def pick(generator: Generator, choices: Any) -> Any:
    """Return one of the choices, of any type."""
    return choices[int(generator.integers(len(choices)))]


def hostile(generator: Generator) -> Any:
    """Return a value that hardly any key is meant to have."""
    if generator.random() < 0.05:
        value: Any = 1
        for _ in range(int(generator.integers(1, 200))):
            value = [value] if generator.random() < 0.5 else {"a": value}
        return value
    return copy.deepcopy(pick(generator, HOSTILE))


def mutate_bytes(generator: Generator, content: bytes) -> bytes:
    """Return the bytes with one to five flips, cuts, insertions or repetitions."""
    data = bytearray(content)
    for _ in range(int(generator.integers(1, 6))):
        place = int(generator.integers(len(data) + 1))
        stop = place + int(generator.integers(1, 64))
        kind = int(generator.integers(8))
        if kind <= 2 and place < len(data):
            data[place] ^= 1 << int(generator.integers(8))
        elif kind == 3:
            del data[place:]
        elif kind == 4:
            del data[place:stop]
        elif kind == 5:
            data[place:place] = data[place:stop]
        elif kind == 6:
            data[place:place] = generator.bytes(stop - place)
        elif generator.random() < 0.2:
            data[:] = pick(generator, [b"", b"[" * 5000, b"{" * 5000, b"\xff\xfe", b"\0" * 100])
    return bytes(data)


def mutate_value(generator: Generator, value: Any) -> Any:
    """Return a copy of a JSON value with one to three parts replaced, removed or renamed."""
    value = json.loads(json.dumps(value))
    for _ in range(int(generator.integers(1, 4))):
        places = list(_places(value))
        if not places:
            return hostile(generator)
        holder, key = pick(generator, places)
        kind = int(generator.integers(6))
        if kind <= 2:
            holder[key] = hostile(generator)
        elif kind == 3:
            del holder[key]
        elif kind == 4 and isinstance(holder, dict):
            holder[pick(generator, ["x", "", "name", "a..b", f"{key}s", str(key).upper()])] = (
                holder.pop(key)
            )
        else:
            holder[key] = _twist(generator, holder[key])
    return value


def _places(value: Any) -> Any:
    """Yield every holder and key within a value."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _twist(generator: Generator, value: Any) -> Any:
    """Return a value of another type or size that is near to it."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return pick(generator, [str(value), -value, value * 10**9, value + 1, [value], value / 3])
    if isinstance(value, str):
        return pick(generator, [value * 300, value[:-1], [value], value.upper(), value + " #1"])
    return pick(generator, [[value, value], {"a": value}, str(value)])


COLUMN_TYPES = [
    pl.String, pl.Int8, pl.Int64, pl.UInt64, pl.Float32, pl.Float64, pl.Boolean, pl.Binary,
    pl.Date, pl.Datetime("us"), pl.Datetime("ns", "Europe/Berlin"), pl.Duration, pl.Time,
    pl.Categorical, pl.List(pl.String), pl.List(pl.Int64), pl.Decimal(20, 2), pl.Null,
]  # fmt: skip
CELLS: list[Any] = [
    -1, 0, 2**62, 4_000_000_000, float("nan"), float("inf"), -1e300, "", "x" * 3000, b"\xff",
    date(1, 1, 1), date(9999, 12, 31), datetime(9999, 12, 31), timedelta(days=10**6), [], ["a"],
    [None], {"a": 1}, True,
]  # fmt: skip
FAR_DATES = [2**31 - 1, -(2**31), 10**7, 2**62, -(2**62)]


def mutate_table(generator: Generator, table: pl.DataFrame) -> pl.DataFrame:
    """Return a table with one or two columns, rows or cells of another kind."""
    for _ in range(int(generator.integers(1, 3))):
        for _ in range(5):  # some casts are impossible; another is tried
            try:
                table = pick(generator, TABLE_MUTATIONS)(generator, table)
                break
            except (pl.exceptions.PolarsError, TypeError, OverflowError, ValueError):
                continue
    return table


def _column(generator: Generator, table: pl.DataFrame) -> str:
    return pick(generator, table.columns)


def _cast(generator: Generator, table: pl.DataFrame) -> pl.DataFrame:
    name, dtype = _column(generator, table), pick(generator, COLUMN_TYPES)
    return table.with_columns(pl.col(name).cast(dtype, strict=False))


def _nulls(generator: Generator, table: pl.DataFrame) -> pl.DataFrame:
    is_kept = pl.Series(generator.random(len(table)) < pick(generator, [0.0, 0.5, 0.95]))
    name = _column(generator, table)
    return table.with_columns(pl.when(is_kept).then(pl.col(name)).otherwise(None).alias(name))


def _cells(generator: Generator, table: pl.DataFrame) -> pl.DataFrame:
    name, value = _column(generator, table), pick(generator, CELLS)
    if generator.random() < 0.5:
        return table.with_columns(pl.Series(name, [value] * len(table)))
    try:
        values = table[name].to_list()
    except pl.exceptions.PanicException:  # dates that an earlier mutation moved out of range
        return table.with_columns(pl.Series(name, [value] * len(table)))
    values[int(generator.integers(len(values)))] = value
    return table.with_columns(pl.Series(name, values, dtype=table[name].dtype, strict=False))


def _far_dates(generator: Generator, table: pl.DataFrame) -> pl.DataFrame:
    name, days = _column(generator, table), pick(generator, FAR_DATES)
    is_small = abs(days) < 2**31
    whole = pl.Series(name, [days] * len(table), dtype=pl.Int32 if is_small else pl.Int64)
    return table.with_columns(whole.cast(pl.Date if is_small else pl.Datetime("us")))


def _rename(generator: Generator, table: pl.DataFrame) -> pl.DataFrame:
    name = _column(generator, table)
    others = ["x", "", f"{name}s", name.upper(), " " + name, "x" * 2000, "user_id", "item"]
    return table.rename({name: pick(generator, others)})


def _drop(generator: Generator, table: pl.DataFrame) -> pl.DataFrame:
    return table.drop(_column(generator, table))


def _rows(generator: Generator, table: pl.DataFrame) -> pl.DataFrame:
    whole = [
        table[:0],
        table[:1],
        table.reverse(),
        pl.concat([table, table]),
        table.sample(fraction=0.5, seed=int(generator.integers(100))),
        table.sample(fraction=1.0, shuffle=True, seed=int(generator.integers(100))),
    ]
    return pick(generator, whole)


def _wrap(generator: Generator, table: pl.DataFrame) -> pl.DataFrame:
    name = _column(generator, table)
    wrapped = [pl.concat_list(name), pl.struct(name), pl.lit(None).alias(name), -pl.col(name)]
    return table.with_columns(pick(generator, wrapped).alias(name))


def _scale(generator: Generator, table: pl.DataFrame) -> pl.DataFrame:
    name = _column(generator, table)
    return table.with_columns(pl.col(name) * pick(generator, [1000, 10**9, -1, 0]))


TABLE_MUTATIONS: list[Callable[[Generator, pl.DataFrame], pl.DataFrame]] = [
    _cast, _nulls, _cells, _far_dates, _rename, _drop, _rows, _wrap, _scale,
]  # fmt: skip


def rewrite_bytes(generator: Generator, file: Path) -> None:
    """Mutate the bytes of a file in place."""
    file.write_bytes(mutate_bytes(generator, file.read_bytes()))


def rewrite_json(generator: Generator, file: Path) -> None:
    """Mutate the value in a JSON file, or else its bytes, in place."""
    if generator.random() < 0.25:
        return rewrite_bytes(generator, file)
    value = mutate_value(generator, json.loads(file.read_text(encoding="utf-8")))
    file.write_text(json.dumps(value), encoding="utf-8")


def rewrite_table(generator: Generator, file: Path) -> None:
    """Mutate the table in a Parquet file, or else its bytes, in place."""
    if generator.random() < 0.2:
        return rewrite_bytes(generator, file)
    mutate_table(generator, pl.read_parquet(file)).write_parquet(file)
