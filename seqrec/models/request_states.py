"""Hidden states of requests in words that are placed in packed histories."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

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


def list_read_positions(
    documents: Int[Tensor, "B T"], placed: PlacedRequests
) -> Bool[Tensor, "M T"]:
    """Return the positions that each request reads: its history up to its column."""
    here = documents[placed.rows, placed.columns.clamp_min(0)]
    steps = torch.arange(documents.shape[1], device=documents.device)
    return (documents[placed.rows] == here[:, None]) & (steps <= placed.columns[:, None])


def states_with_requests(
    model: HistoryEncoder,
    states: Float[Tensor, "B T D"],
    documents: Int[Tensor, "B T"],
    placed: PlacedRequests,
    guidance: float = 1.0,
) -> Float[Tensor, "M E"]:
    """Return the states of requests; products with ``request_item_weight()`` are scores.

    Args:
        model: with a query token.
        states: the model's states at all positions of packed histories.
        documents: document ids.
        placed: requests.
        guidance: weight of the requests; see ``QueryToken``.
    """
    assert model.query_token is not None
    rows, columns = placed.rows, placed.columns
    counts = torch.bincount(rows, minlength=len(documents))
    slots = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    shape = (len(documents), int(counts.max()) if len(counts) else 0)
    at = (rows, slots)
    allowed = documents.new_zeros(*shape, documents.shape[1], dtype=torch.bool)
    allowed = allowed.index_put(at, list_read_positions(documents, placed))
    vectors = placed.vectors.new_zeros(*shape, placed.vectors.shape[1])
    vectors = vectors.index_put(at, placed.vectors)
    nothing = model.query_token.nothing.to(states.dtype)
    own = states[rows, columns.clamp_min(0)]
    own = torch.where((columns == NO_HISTORY)[:, None], nothing, own)
    last = states.new_zeros(*shape, states.shape[2]).index_put(at, own)
    return model.query_token(vectors, states, last, allowed, guidance)[at]
