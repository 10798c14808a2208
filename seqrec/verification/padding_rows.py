"""The property that rows of tables beyond the catalog are never answered."""

import torch

from seqrec.verification.findings import Measured
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
    padding = subject.padding_rows()
    before = subject.scores(histories)
    kept = [rows.clone() for rows in padding]
    try:
        for rows in padding:
            rows.fill_(HUGE)
        after = subject.scores(histories)
        num_outside = subject.count_outside()
    finally:
        for rows, values in zip(padding, kept, strict=True):
            rows.copy_(values)
    num_rows = sum(len(rows) for rows in padding)
    num_changed = int((before != after).sum())
    note = f"{num_rows} rows of padding"
    if num_outside or num_changed:
        note += f"; {num_outside} answers outside the catalog, {num_changed} scores changed"
    return Measured(num_outside + num_changed, 0, note)
