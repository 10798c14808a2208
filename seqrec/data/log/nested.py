"""Logs with a row a session: lists of items, or of events, as a row an interaction."""

import ast
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import polars as pl

from seqrec.data.log.column_names import COMMON_NAMES, simplify_name
from seqrec.data.log.columns import Columns
from seqrec.errors import SeqRecError

SAMPLE_ROWS = 100
_BRACKETS = r"^\s*\[.*\]\s*$"
_LISTED_ROLES = ("item", "time", "rating")

Transform = Callable[[pl.LazyFrame], pl.LazyFrame]


@dataclass(frozen=True)
class Unfolding:
    """The steps from a log's own rows to a row an interaction."""

    transform: Transform | None
    """None if each row is an interaction already."""
    columns: Columns
    """The requested columns, with the columns of lists that have a role."""


def find_unfolding(log: pl.LazyFrame, requested: Columns, *, is_text: bool, name: str) -> Unfolding:
    """Return how the lists of a log become rows.

    A list of objects becomes a row an object, with a column a field. A list of items becomes a
    row an item, in order; lists of the same length in other columns go with it.

    Args:
        log: the raw columns.
        requested: column names from the user.
        is_text: lists are text such as ``[1, 2]`` or ``['a', 'b']``.
        name: the log's name in messages.

    Raises:
        SeqRecError: lists of times, ratings or orders that are longer or shorter than the items.
    """
    steps: list[Transform] = []
    schema = log.collect_schema()
    if is_text:
        texts = _find_text_lists(log)
        if texts:
            log, schema, parse = _parse_lists(log, schema, texts)
            steps.append(parse)
    events = _find_events(schema, requested)
    if events is not None:
        steps.append(lambda frame: _open_events(frame, events))
        log = steps[-1](log)
        schema = log.collect_schema()
    lists = [one for one, dtype in schema.items() if isinstance(dtype, pl.List | pl.Array)]
    columns = _find_list_columns(schema, lists, requested)
    if columns.item not in lists:
        return Unfolding(steps[-1] if events is not None else None, requested)
    others = _find_parallel(log, str(columns.item), lists, columns, name)
    steps.append(lambda frame: _open_lists(frame, str(columns.item), others))
    return Unfolding(lambda frame: _apply(steps, frame), columns)


def _apply(steps: list[Transform], frame: pl.LazyFrame) -> pl.LazyFrame:
    for step in steps:
        frame = step(frame)
    return frame


def _find_events(schema: pl.Schema, requested: Columns) -> str | None:
    """Return the column of lists of objects, if no other column holds the items."""
    found = [
        name
        for name, dtype in schema.items()
        if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct)
    ]
    if len(found) != 1 or requested.item in schema:
        return None
    simple = {simplify_name(name) for name in schema if name not in found}
    return None if simple & set(COMMON_NAMES["item"]) else found[0]


def _open_events(frame: pl.LazyFrame, events: str) -> pl.LazyFrame:
    schema = frame.collect_schema()
    fields = [field.name for field in schema[events].inner.fields]  # type: ignore[attr-defined]
    names = [f"{events}.{field}" if field in schema else field for field in fields]
    opened = frame.filter(pl.col(events).list.len() > 0).explode(events)
    return opened.with_columns(pl.col(events).struct.rename_fields(names)).unnest(events)


def _find_list_columns(schema: pl.Schema, lists: list[str], requested: Columns) -> Columns:
    """Complete the requested columns by lists with a common name, or its plural."""
    found = {}
    for role in _LISTED_ROLES:
        if getattr(requested, role) is not None:
            continue
        common = COMMON_NAMES[role]
        simple = {name: simplify_name(name) for name in schema}
        if any(simple[name] in common for name in schema if name not in lists):
            continue
        named = [one for one in lists if {simple[one], simple[one].removesuffix("s")} & set(common)]
        if named:
            found[role] = named[0]
    return replace(requested, **found)


def _find_parallel(
    log: pl.LazyFrame, item: str, lists: list[str], columns: Columns, name: str
) -> list[str]:
    """Return the other columns whose lists are as long as those of the items."""
    lengths = log.select(pl.col(one).list.len().fill_null(0) for one in lists).collect()
    parallel = []
    for one in lists:
        differs = (lengths[one] != lengths[item]).arg_true()
        if one != item and not len(differs):
            parallel.append(one)
        elif one != item and one in columns.by_role().values():
            row = int(differs[0])
            raise SeqRecError(
                f"{name}: session {row + 1}: {lengths[one][row]} values in column {one!r} and "
                f"{lengths[item][row]} in {item!r}; lists that belong together are equally long"
            )
    return parallel


def _open_lists(frame: pl.LazyFrame, item: str, others: list[str]) -> pl.LazyFrame:
    columns = [item, *others]
    schema = frame.collect_schema()
    arrays = [one for one in columns if isinstance(schema[one], pl.Array)]
    opened = frame.with_columns(pl.col(one).arr.to_list() for one in arrays)
    return opened.filter(pl.col(item).list.len() > 0).explode(columns)


def _find_text_lists(log: pl.LazyFrame) -> list[str]:
    """Return the columns of text whose first cells are all lists in brackets."""
    sample = log.head(SAMPLE_ROWS).collect()
    is_list = {
        column: sample[column].drop_nulls().str.contains(_BRACKETS) for column in sample.columns
    }
    return [column for column, mask in is_list.items() if len(mask) and mask.all()]


def _parse_lists(
    log: pl.LazyFrame, schema: pl.Schema, names: list[str]
) -> tuple[pl.LazyFrame, pl.Schema, Transform]:
    parsers = [
        pl.col(one).map_elements(parse_list, return_dtype=pl.List(pl.String)) for one in names
    ]

    def parse(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.with_columns(parsers)

    return parse(log), pl.Schema({**schema, **dict.fromkeys(names, pl.List(pl.String))}), parse


def parse_list(text: str) -> list[str | None]:
    """Return the entries of a list in JSON, Python or NumPy notation as text.

    Raises:
        SeqRecError: the text is no list of numbers or words.
    """
    for read in (_read_json, ast.literal_eval, _read_words):
        try:
            entries = read(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if isinstance(entries, list) and all(
            entry is None or isinstance(entry, str | int | float) for entry in entries
        ):
            return [None if entry is None else str(entry) for entry in entries]
    raise SeqRecError(f'{text[:60]!r} is no list of ids; write it as [1, 2] or ["a", "b"]')


def _read_json(text: str) -> list[str]:
    return json.loads(text, parse_int=str, parse_float=str)


def _read_words(text: str) -> list[str]:
    """Read NumPy's ``[1 2 3]``, and ``[a, b]`` without quotes."""
    body = text.strip()[1:-1]
    if any(mark in body for mark in "[]{}\"'"):
        raise ValueError(text)
    return [word.strip() for word in body.split(",")] if "," in body else body.split()
