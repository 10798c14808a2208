"""The tags that people gave to items: a file of items and tags, as a matrix."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from seqrec.data.ids import get_id_text
from seqrec.data.item_table import ItemTable
from seqrec.data.tables import read_table
from seqrec.errors import SeqRecError

MIN_ITEMS = 2
"""Tags of fewer items of the catalog are left out: nothing can be learned of them."""


class TagVocabulary(NamedTuple):
    """Tags and the items of a catalog that people gave them to."""

    tags: list[str]
    items: Int[np.ndarray, " N"]
    """Rows of the tagged items."""
    has_tag: Bool[np.ndarray, "N V"]


def read_tag_vocabulary(file: Path, table: ItemTable) -> TagVocabulary:
    """Return the tags of a file: a row per item and tag, or a row per item with a list ``tags``.

    Raises:
        SeqRecError: columns are missing, or no tag is shared by two items of the catalog.
    """
    rows = read_table(file, str(file))
    column = next((name for name in ("tag", "tags") if name in rows.columns), None)
    if column is None or "item_id" not in rows.columns:
        raise SeqRecError(f"--tags {file}: needs the columns item_id and tag, or tags")
    pairs: dict[str, set[int]] = {}
    for item_id, cell in rows.select("item_id", column).iter_rows():
        found, _ = table.find([get_id_text(item_id)] if item_id is not None else [])
        for tag in _list_tags(cell) if len(found) else ():
            pairs.setdefault(tag, set()).add(int(found[0]))
    tags = sorted(tag for tag, items in pairs.items() if len(items) >= MIN_ITEMS)
    if not tags:
        raise SeqRecError(
            f"--tags {file}: none of its {len(pairs):,} tags is given to {MIN_ITEMS} items of the "
            "catalog; name a file about these items"
        )
    items = np.array(sorted(set().union(*(pairs[tag] for tag in tags))), dtype=np.int64)
    has_tag = np.zeros((len(items), len(tags)), dtype=bool)
    for number, tag in enumerate(tags):
        has_tag[np.searchsorted(items, sorted(pairs[tag])), number] = True
    return TagVocabulary(tags, items, has_tag)


def _list_tags(cell: Any) -> Iterable[str]:
    """Return the tags of a cell, in small letters without outer blanks."""
    if cell is None:
        return []
    texts = cell.split("|") if isinstance(cell, str) else list(cell)
    plain = (" ".join(str(text).split()).casefold() for text in texts if text is not None)
    return [text for text in plain if text]
