"""Points of Qdrant, which has ids of its own: the item's id is in the payload."""

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from seqrec.errors import SeqRecError, quote
from seqrec.retrieval.stores.columns import ID, list_payloads, list_vectors

NAMESPACE = uuid.UUID("7b2f6a52-7d0e-5d0b-9a53-5f2f4a0c6a11")
"""Namespace of point ids: version 5 UUIDs of item ids."""

INDEXES = {"text": "keyword", "texts": "keyword", "integer": "integer", "number": "float"}
"""Payload index of each type of column, which filtered searches need."""

PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def get_key(column: str) -> str:
    """Return the path of a column in payloads, whose other signs are quoted."""
    return column if PLAIN_KEY.fullmatch(column) else f'"{column}"'


def check_columns(rows: pa.Table, label: str) -> None:
    """Refuse columns that no path can name.

    Raises:
        SeqRecError: a quotation mark in the name of a column.
    """
    for column in rows.column_names:
        if '"' in column:
            raise SeqRecError(
                f"{label}: column {quote(column)} holds a quotation mark, which Qdrant's paths "
                "cannot name; rename it, or leave it out of --payload"
            )


def get_point_id(item_id: str) -> str:
    return str(uuid.uuid5(NAMESPACE, item_id))


def list_points(rows: pa.Table) -> list[tuple[str, list[float], Mapping[str, Any]]]:
    """Return point id, vector and payload of every row."""
    ids = rows[ID].to_pylist()
    parts = zip(ids, list_vectors(rows).tolist(), list_payloads(rows), strict=True)
    return [(get_point_id(id), vector, {ID: id} | payload) for id, vector, payload in parts]


def get_point_ids(item_ids: Sequence[str]) -> list[str]:
    return [get_point_id(item_id) for item_id in item_ids]
