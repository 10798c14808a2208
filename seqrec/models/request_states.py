"""Hidden states of requests in words that are placed in packed histories."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqrec.models.documents import additive_mask, document_positions, mask_dtype
from seqrec.models.encoder import HistoryEncoder

NO_HISTORY = -1
"""The column of a request that follows no history."""


class PlacedRequests(NamedTuple):
    """Requests, and the positions of packed histories that they follow."""

    vectors: Float[Tensor, "M F"]
    """The vector of every request's words."""
    rows: Int[Tensor, " M"]
    """The row of every request, in ascending order."""
    columns: Int[Tensor, " M"]
    """The last position of a history that a request reads; ``NO_HISTORY``: it reads none."""


class RequestLayout(NamedTuple):
    """Packed rows with columns for requests behind them."""

    allowed: Bool[Tensor, "B S S"]
    """True for the keys (columns) that each query (row) attends to."""
    positions: Int[Tensor, "B S"]
    slots: Int[Tensor, " M"]
    """The number of every request within its row."""
    num_slots: int
    """Columns for requests."""


def lay_out_requests(documents: Int[Tensor, "B T"], placed: PlacedRequests) -> RequestLayout:
    """Return the attention of packed histories and of the requests placed in them.

    A request attends to itself and to its history up to its column, and nothing attends to it. It
    has the position of the last item that it reads, so that histories keep their whole length.
    """
    num_rows, length = documents.shape
    rows, columns = placed.rows, placed.columns
    counts = torch.bincount(rows, minlength=num_rows)
    slots = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    num_slots = int(counts.max()) if len(counts) else 0
    size = length + num_slots
    allowed = torch.zeros(num_rows, size, size, dtype=torch.bool, device=documents.device)
    allowed[:, :length, :length] = (documents[:, :, None] == documents[:, None, :]).tril()
    diagonal = torch.arange(length, size, device=documents.device)
    allowed[:, diagonal, diagonal] = True
    last = columns.clamp_min(0)
    here = documents[rows, last]
    steps = torch.arange(length, device=documents.device)
    is_read = (documents[rows] == here[:, None]) & (steps <= columns[:, None])
    allowed[rows, length + slots, :length] = is_read
    positions = torch.zeros(num_rows, size, dtype=torch.long, device=documents.device)
    positions[:, :length] = document_positions(documents)
    positions[rows, length + slots] = positions[rows, last].where(columns >= 0, 0)
    return RequestLayout(allowed, positions, slots, num_slots)


def states_with_requests(
    model: HistoryEncoder,
    input_ids: Int[Tensor, "B T"],
    documents: Int[Tensor, "B T"],
    placed: PlacedRequests,
) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "M D"]]:
    """Return the hidden states of all positions of packed histories, and of requests in them.

    States of positions are those without the requests, up to rounding.

    Args:
        model: with a query token, over a native causal decoder.
        input_ids: tokens.
        documents: document ids.
        placed: requests.
    """
    assert model.query_token is not None
    layout, length = lay_out_requests(documents, placed), documents.shape[1]
    tokens = model.get_input_embeddings()(input_ids)
    added = tokens.new_zeros(len(tokens), layout.num_slots, tokens.shape[2])
    vectors = model.query_token(placed.vectors).to(tokens.dtype)
    added = added.index_put((placed.rows, layout.slots), vectors)
    output = model.backbone(
        inputs_embeds=torch.cat([tokens, added], dim=1),
        attention_mask=additive_mask(layout.allowed, mask_dtype(model.dtype, documents.device)),
        position_ids=layout.positions,
    )
    states = model.read_out(output.last_hidden_state)
    return states[:, :length], states[placed.rows, length + layout.slots]
