"""Lists of ids that restrict or name: a file, a frame, or lists in memory; for all or per user."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from seqrec.data.ids import get_id_text
from seqrec.data.log.column_names import COMMON_NAMES, simplify_name
from seqrec.data.read_errors import one_line_errors
from seqrec.data.tables import FORMATS, is_frame, read_table, to_id_texts
from seqrec.errors import SeqRecError
from seqrec.files import check_no_stream


@dataclass(frozen=True)
class IdLists:
    """Item ids for all users, or per user, or per history; exactly one of them is given."""

    shared: list[str] | None = None
    by_user: dict[str, list[str]] | None = None
    by_row: list[list[str]] | None = None
    """The ids of each history, in the order of the histories."""


def read_id_lists(source: Any, option: str) -> IdLists:
    """Return the item ids of a file, a frame, a list of ids, a list per history, or a mapping.

    A file holds one id a line, or columns: the items' alone, or also the users'. Text that is no
    list is a path.

    Raises:
        SeqRecError: a missing file, no column of items, or another object.
    """
    if isinstance(source, Mapping):
        lists = {get_id_text(user): _to_texts(ids, option) for user, ids in source.items()}
        return IdLists(by_user=lists)
    if isinstance(source, str | Path) or is_frame(source):
        return _read_lists(_read_columns(source, option), option)
    if not isinstance(source, Iterable) or isinstance(source, bytes):
        raise SeqRecError(
            f"{option}: a {type(source).__name__} lists no ids; give a file, a frame or a list"
        )
    entries = list(source)
    is_nested = [isinstance(one, Iterable) and not isinstance(one, str | bytes) for one in entries]
    if entries and all(is_nested):
        return IdLists(by_row=[_to_texts(ids, option) for ids in entries])
    return IdLists(shared=_to_texts(entries, option))


def read_ids(source: Any, role: str, option: str) -> list[str]:
    """Return the ids of one role (``user`` or ``item``), each once, in their order.

    Raises:
        SeqRecError: see ``read_id_lists``.
    """
    if isinstance(source, str | Path) or is_frame(source):
        table = _read_columns(source, option)
        column = _find_column(table, role) or (table.columns[0] if table.width == 1 else None)
        if column is None:
            raise SeqRecError(
                f"{option} {_describe(source)}: no column {role}_id; it has {table.columns}"
            )
        ids = to_id_texts(table[column]).to_list()
    else:
        ids = _to_texts(source, option)
    if None in ids:
        raise SeqRecError(f"{option} {_describe(source)}: an id is empty; drop its row")
    return list(dict.fromkeys(ids))


def _read_lists(table: pl.DataFrame, option: str) -> IdLists:
    item = _find_column(table, "item") or (table.columns[0] if table.width == 1 else None)
    user = _find_column(table, "user")
    if item is None:
        raise SeqRecError(f"{option}: no column item_id; it has {table.columns}")
    for name in (item, user):
        if name is not None and table[name].dtype.is_nested():
            raise SeqRecError(f"{option}: column {name!r} holds lists, not one id a row")
        if name is not None and table[name].has_nulls():
            raise SeqRecError(f"{option}: column {name!r} has empty ids; drop their rows")
    items = to_id_texts(table[item])
    if user is None:
        return IdLists(shared=items.unique(maintain_order=True).to_list())
    rows = pl.DataFrame({"user": to_id_texts(table[user]), "item": items}).unique(
        maintain_order=True
    )
    lists = rows.group_by("user", maintain_order=True).agg("item")
    return IdLists(by_user=dict(lists.iter_rows()))


def _read_columns(source: Any, option: str) -> pl.DataFrame:
    """Return the rows of a file or frame; a file of lines without a header has one column."""
    name = f"{option} {_describe(source)}"
    if is_frame(source):
        return read_table(source, name)
    file = Path(source)
    kind = FORMATS.get(file.suffix.lower())
    if kind in ("parquet", "ndjson"):
        return read_table(file, name)
    with one_line_errors(name):
        check_no_stream(file)
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise SeqRecError(f"{name}: is empty; it holds one id a line")
    is_table = any(delimiter in lines[0] for delimiter in ",\t;|")
    if kind in ("csv", "tsv") and is_table:
        return read_table(file, name)
    has_header = (
        any(simplify_name(lines[0]) in COMMON_NAMES[role] for role in ("user", "item"))
        or simplify_name(lines[0]) == "id"
    )
    return pl.DataFrame({lines[0] if has_header else "id": lines[has_header:]})


def _find_column(table: pl.DataFrame, role: str) -> str | None:
    """Return the column with the role's own name or, failing that, a common name of it."""
    if f"{role}_id" in table.columns:
        return f"{role}_id"
    by_plain_name = {simplify_name(name): name for name in reversed(table.columns)}
    return next((by_plain_name[n] for n in COMMON_NAMES[role] if n in by_plain_name), None)


def _to_texts(ids: Any, option: str) -> list[str]:
    if isinstance(ids, str | bytes | Mapping) or not isinstance(ids, Iterable):
        raise SeqRecError(f"{option}: {ids!r} is not a list of ids")
    return [get_id_text(one) for one in ids]


def _describe(source: Any) -> str:
    return str(source) if isinstance(source, str | Path) else "(a frame)"
