"""Packing of events: a block of tokens each, whose last token predicts the next item."""

from collections.abc import Sequence

import numpy as np

from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.times import NO_TIME
from seqrec.tokens.streams.batches import PackedBatch
from seqrec.tokens.streams.examples import Examples
from seqrec.tokens.streams.packing import pack_labels
from seqrec.tokens.streams.placement import pack_blocks, pack_documents, pack_times, place_windows

UNTIMED_SHARE = 0.1
"""Share of windows whose times training masks, so that the model works without times."""


def pack_events(
    examples: Examples,
    rows: Sequence[Sequence[int]],
    events: EventTokens,
    generator: np.random.Generator,
    *,
    row_length: int,
    ignore_index: int,
) -> PackedBatch[np.ndarray]:
    """Return the batch of events: a block of tokens each, whose last token predicts an item.

    Args:
        examples: where the windows are.
        rows: the windows of every row.
        events: from events to tokens.
        generator: draws the masked features and times.
        row_length: events of a row.
        ignore_index: the label of positions that are not learned.
    """
    assert examples.codes is not None
    shape, size = (max(len(rows), 1), row_length), events.block_size
    placement = place_windows(examples.windows, rows, row_length)
    here, next_one = placement.source, placement.source + 1
    codes = events.block_codes(examples.codes[here], examples.codes[next_one])
    blocks = events.encode(examples.items[here], events.drop_features(codes, generator))
    learned = events.feature_labels(codes, ignore_index)
    learned[placement.is_context] = ignore_index
    labels, label_weight, total_weight = pack_labels(examples, placement, shape, size, ignore_index)
    times = None
    if examples.times is not None:
        block_times = events.block_times(examples.times[here], examples.times[next_one])
        lengths = examples.windows.lengths[[window for row in rows for window in row]]
        is_untimed = generator.random(len(lengths)) < UNTIMED_SHARE
        block_times[np.repeat(is_untimed, lengths)] = NO_TIME
        times = pack_times(events.token_times(block_times), placement.slot, shape)
    return PackedBatch(
        pack_blocks(blocks, placement.slot, shape, events.tokens.pad_token_id),
        pack_documents(placement, shape, size),
        labels,
        label_weight,
        total_weight,
        pack_blocks(learned, placement.slot, shape, ignore_index),
        float((learned != ignore_index).sum()),
        times=times,
        targets=label_weight.ravel().nonzero()[0],
    )
