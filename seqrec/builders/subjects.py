"""Builds the titles of a catalog as subjects of summaries."""

from collections.abc import Sequence

from seqrec.data.item_columns import find_text_columns
from seqrec.data.item_table import ItemTable
from seqrec.data.prepared import PreparedData
from seqrec.drafts.summaries import Subject, build_subject
from seqrec.explanations.attributes import Attributes

ABOUT = ("plot", "description", "overview")
"""Columns of text about an item; the first that the items have counts."""


def build_subjects(
    prepared: PreparedData, table: ItemTable, attributes: Attributes, rows: Sequence[int]
) -> list[Subject]:
    """Return rows of a catalog as subjects; a missing plot is an empty one."""
    counts = prepared.histories().item_counts(prepared.num_items)
    about = find_text_columns(table.items, ABOUT)
    cells = table.items[about[0]].to_list() if about else None
    return [
        build_subject(
            attributes,
            row,
            table.item_ids[row],
            table.titles[row],
            str(cells[row] or "") if cells else "",
            int(counts[row]),
        )
        for row in rows
    ]
