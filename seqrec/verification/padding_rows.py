"""The property that rows of tables beyond the catalog are never answered."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqrec.verification.findings import Measured
from seqrec.verification.next_item import NextItemSubject
from seqrec.verification.subject import Subject

NUM_HISTORIES = 16
HUGE = 1e4
"""Value of all padding rows while lists are made; an answer that reads one changes."""


@torch.inference_mode()
def check_padding_rows(subject: Subject) -> Measured:
    """Count answers outside the catalog, and scores that depend on rows of padding.

    The rows are those of the token embeddings after the last word of the tokenizer, and those of an
    untied head after the last item. They are given a huge value, scores are compared bit for
    bit, and the rows get their values back.
    """
    histories = subject.draw_paths([min(subject.longest, 20)] * NUM_HISTORIES, ()).serving
    padding = _list_padding(subject)
    before = subject.scores(histories)
    kept = [rows.clone() for rows in padding]
    try:
        for rows in padding:
            rows.fill_(HUGE)
        after = subject.scores(histories)
        num_outside = _count_outside(subject)
    finally:
        for rows, values in zip(padding, kept, strict=True):
            rows.copy_(values)
    num_rows = sum(len(rows) for rows in padding)
    num_changed = int((before != after).sum())
    note = f"{num_rows} rows of padding"
    if num_outside or num_changed:
        note += f"; {num_outside} answers outside the catalog, {num_changed} scores changed"
    return Measured(num_outside + num_changed, 0, note)


def _list_padding(subject: Subject) -> list[Tensor]:
    """Return views of all rows of padding."""
    num_words, num_items = len(subject.tokenizer), len(subject.table)
    tables: list[Any] = [one.get_input_embeddings().weight for one in subject.decoders()]
    views = [table.data[num_words:] for table in tables]
    return views + [table.data[num_items:] for table in subject.item_tables()]


def _count_outside(subject: Subject) -> int:
    """Return the answers outside the catalog, and the items that whole lists lack."""
    if not isinstance(subject, NextItemSubject):
        return 0
    num_items = len(subject.table)
    drawn = subject.generator.integers(num_items, size=(NUM_HISTORIES, 5))
    ranked = subject.recommender.rank(list(drawn), num_items + 64, exclude_seen=False)
    expected = np.arange(num_items)
    wrong = [np.setxor1d(items, expected) for items in ranked.items.numpy()]
    return sum(len(items) for items in wrong)
