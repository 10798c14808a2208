"""The query token: a request in words as one input of a decoder, placed after the history."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seqrec.models.documents import document_positions

NO_HISTORY = -1
"""The column of a request that follows no history."""


class QueryToken(nn.Module):
    """Linear map from the vector of a request's words to an input vector of the decoder."""

    def __init__(self, width: int, hidden_size: int) -> None:
        """Initialise.

        Args:
            width: of the vectors of requests.
            hidden_size: of the decoder.
        """
        super().__init__()
        self.map = nn.Linear(width, hidden_size)

    def forward(self, vectors: Float[Tensor, "M F"]) -> Float[Tensor, "M D"]:
        return self.map(vectors)


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
