"""Several windows in one row: little padding, and no window reads another.

The model keeps windows apart by their number in ``documents``, from which it makes both the
attention mask and the positions.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from seqrec.tokens.streams.batches import PackedBatch
from seqrec.tokens.streams.examples import Examples
from seqrec.tokens.streams.placement import (
    Placement,
    pack_blocks,
    pack_documents,
    place_windows,
)
from seqrec.tokens.tokenizer import ItemTokens


def pack_inputs(
    items: Int[np.ndarray, " N"], placement: Placement, tokens: ItemTokens, shape: tuple[int, int]
) -> tuple[Int[np.ndarray, "B T"], Int[np.ndarray, "B T"]]:
    """Return the tokens and document numbers of packed rows of items.

    Args:
        items: the flat array that the windows are of.
        placement: where they come from and go to.
        tokens: from items to tokens.
        shape: rows, and items of a row.
    """
    blocks = tokens.encode(items[placement.source])
    return (
        pack_blocks(blocks, placement.slot, shape, tokens.pad_token_id),
        pack_documents(placement, shape, tokens.block_size),
    )


def pack_batch(
    examples: Examples,
    rows: Sequence[Sequence[int]],
    tokens: ItemTokens,
    *,
    row_length: int,
    ignore_index: int,
) -> PackedBatch[np.ndarray]:
    """Return the windows of some rows as a batch; without a row, one row of padding.

    Args:
        examples: where the windows are.
        rows: the windows of every row, which fit in it.
        tokens: from items to tokens.
        row_length: items of a row.
        ignore_index: the label of positions that are not learned.
    """
    shape, size = (max(len(rows), 1), row_length), tokens.block_size
    placement = place_windows(examples.windows, rows, row_length)
    input_ids, documents = pack_inputs(examples.items, placement, tokens, shape)
    labels, label_weight, total_weight = pack_labels(examples, placement, shape, size, ignore_index)
    sources = None
    if examples.rows is not None:
        sources = np.full(shape, -1, dtype=np.int64)
        sources.flat[placement.slot] = examples.rows[placement.source]
        sources = sources.repeat(size, axis=1)
    return PackedBatch(
        input_ids,
        documents,
        labels,
        label_weight,
        total_weight,
        sources=sources,
        targets=label_weight.ravel().nonzero()[0],
    )


def pack_labels(
    examples: Examples,
    placement: Placement,
    shape: tuple[int, int],
    block_size: int,
    ignore_index: int,
) -> tuple[Int[np.ndarray, "B T"], Float[np.ndarray, "B T"], float]:
    """Return the next item and its weight at the last position of every block of packed rows.

    The third value is the sum of the weights.
    """
    labels = np.full((shape[0] * shape[1], block_size), ignore_index, dtype=np.int64)
    label_weight = np.zeros(labels.shape, dtype=np.float32)
    target = placement.source + 1
    weight = np.where(placement.is_context, 0, examples.label_weight[target])
    titles = examples.items if examples.targets is None else examples.targets
    labels[placement.slot, -1] = np.where(weight > 0, titles[target], ignore_index)
    label_weight[placement.slot, -1] = weight
    total_weight = float(label_weight[:, -1].copy().sum())
    return labels.reshape(shape[0], -1), label_weight.reshape(shape[0], -1), total_weight
