"""Builds the titles of a catalog as subjects of summaries."""

from collections.abc import Sequence

from seqrec.data.item_columns import find_about
from seqrec.data.item_table import ItemTable
from seqrec.data.prepared import PreparedData
from seqrec.drafts.summaries import Subject, build_subject
from seqrec.explanations.attributes import Attributes


def build_subjects(
    prepared: PreparedData, table: ItemTable, attributes: Attributes, rows: Sequence[int]
) -> list[Subject]:
    """Return rows of a catalog as subjects; a missing plot is an empty one."""
    counts = prepared.histories().item_counts(prepared.num_items)
    about = find_about(table.items)
    cells = None if about is None else table.items[about].to_list()
    return [
        build_subject(
            attributes,
            row,
            table.item_ids[row],
            table.titles[row],
            "" if cells is None else str(cells[row] or ""),
            int(counts[row]),
        )
        for row in rows
    ]
