"""Rows that differ between an export and what a store holds."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from seqrec.retrieval.stores.columns import ID, list_payloads, list_vectors


class Changes(NamedTuple):
    """Changes of stored rows after which they equal an export's."""

    rows: pa.Table
    """New rows and rows with another vector or column."""
    gone: list[str]
    """Stored ids that the export lacks."""
    has_changed_vectors: bool
    """Some item that both have has another vector."""


def find_changes(rows: pa.Table, stored: Iterable[pa.Table]) -> Changes:
    """Return the changes from the stored rows to the export's.

    Args:
        rows: the export.
        stored: batches of the store's rows, in any order, with the same columns.
    """
    row_by_id = {id: row for row, id in enumerate(rows[ID].to_pylist())}
    is_changed, has_changed_vectors = np.ones(len(rows), dtype=bool), False
    gone: list[str] = []
    for batch in stored:
        ids = batch[ID].to_pylist()
        places = np.array([row_by_id.get(id, -1) for id in ids], dtype=np.int64)
        gone += [id for id, place in zip(ids, places, strict=True) if place < 0]
        batch, places = batch.filter(pa.array(places >= 0)), places[places >= 0]
        expected = rows.take(pa.array(places))
        is_moved = (list_vectors(expected) != list_vectors(batch)).any(axis=1)
        pairs = zip(list_payloads(expected), list_payloads(batch), strict=True)
        is_changed[places] = is_moved | np.array([one != other for one, other in pairs], dtype=bool)
        has_changed_vectors = has_changed_vectors or bool(is_moved.any())
    return Changes(rows.filter(pa.array(is_changed)), gone, has_changed_vectors)
