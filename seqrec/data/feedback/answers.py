"""Chosen and rejected answers of a pairs file as padded arrays."""

from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from seqrec.data.feedback.counts import keep_example
from seqrec.errors import SeqRecError

NO_ITEM, UNKNOWN_ITEM = -1, -2
"""Padding behind an answer's end, and an id outside the catalog."""


def pad_answers(
    table: pl.DataFrame, file: Path, item_by_id: dict[str, int], unknown: dict[str, str]
) -> tuple[Int[np.ndarray, "P L"], Int[np.ndarray, "P R L"]]:
    """Return chosen and rejected answers, padded to the longest.

    Args:
        table: the rows of a pairs file.
        file: the table's name in messages.
        item_by_id: rows of the catalog.
        unknown: receives an example of an unknown id.
    """
    depths = {name: _depth(table[name].dtype) for name in ("chosen", "rejected")}
    if depths["chosen"] > 1 or depths["rejected"] > 2:
        kinds = {name: str(table[name].dtype) for name in depths}
        raise SeqRecError(
            f"{file}: chosen must be an item id or a slate of ids, rejected a list of either; "
            f"the columns hold {kinds}"
        )
    chosen = [_slate(cell) for cell in table["chosen"].to_list()]
    rejected = [_slates(cell, depths) for cell in table["rejected"].to_list()]
    most = max((len(slates) for slates in rejected), default=0)
    every = [*chosen, *(slate for slates in rejected for slate in slates)]
    unknown_ids = (item_id for slate in every for item_id in slate if item_id not in item_by_id)
    keep_example(unknown, "unknown_ids", unknown_ids)
    length = max((len(slate) for slate in every), default=0)
    shape = (len(table), max(most, 1), max(length, 1))
    padded_rejected = np.full(shape, NO_ITEM, dtype=np.int64)
    padded_chosen = np.full((len(table), shape[2]), NO_ITEM, dtype=np.int64)
    for row, (slate, slates) in enumerate(zip(chosen, rejected, strict=True)):
        padded_chosen[row, : len(slate)] = [item_by_id.get(id_, UNKNOWN_ITEM) for id_ in slate]
        for number, other in enumerate(slates):
            items = [item_by_id.get(id_, UNKNOWN_ITEM) for id_ in other]
            padded_rejected[row, number, : len(other)] = items
    return padded_chosen, padded_rejected


def _depth(dtype: pl.DataType) -> int:
    return 1 + _depth(dtype.inner) if isinstance(dtype, pl.List) else 0  # type: ignore[arg-type]


def _slate(cell: object) -> list[str]:
    """Return the item ids of an answer: a list, one id, or none."""
    if cell is None:
        return []
    return [str(item_id) for item_id in cell] if isinstance(cell, list) else [str(cell)]


def _slates(cell: object, depths: dict[str, int]) -> list[list[str]]:
    """Return the rejected answers: a flat list is one slate if chosen is a slate, else several."""
    if not isinstance(cell, list):
        return [_slate(cell)] if cell is not None else []
    if depths["rejected"] == 1 and depths["chosen"] == 1:
        return [_slate(cell)] if cell else []
    return [_slate(answer) for answer in cell]


def has_repeated_item(answers: Int[np.ndarray, "P R L"]) -> Bool[np.ndarray, "P R"]:
    """Return a mask of the answers with an item twice."""
    ordered = np.sort(answers, axis=2)
    return ((ordered[:, :, 1:] == ordered[:, :, :-1]) & (ordered[:, :, 1:] >= 0)).any(axis=2)
