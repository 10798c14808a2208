"""A bias of attention by the time between two events."""

from math import ceil
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqrec.tokens.events.times import MICROSECONDS, NO_TIME

NUM_GAPS = 64
"""Buckets of known gaps; the last holds whatever is longer."""
UNKNOWN_GAP = NUM_GAPS
"""The bucket of gaps of which a time is unknown."""
EDGES = [ceil(MICROSECONDS * (2 ** (step / 2) - 1)) for step in range(1, NUM_GAPS)]
"""Where each bucket but the first begins, in microseconds: two to every doubling."""


def gap_buckets(times: Int[Tensor, "B T 2"]) -> Int[Tensor, "B T T"]:
    """The bucket of the time from what is read (column) to the position that reads it (row).

    ``floor(2 log2(1 + seconds))``, by comparing whole microseconds. What is not earlier is no
    time ago.

    Args:
        times: when the event of each position was, and to when gaps are counted there.
    """
    read, asked = times.unbind(dim=2)
    gap = asked[:, :, None] - read[:, None, :]
    edges = torch.tensor(EDGES, device=times.device)
    found = torch.bucketize(gap, edges, right=True, out_int32=True)
    is_unknown = (asked == NO_TIME)[:, :, None] | (read == NO_TIME)[:, None, :]
    return found.masked_fill_(is_unknown, UNKNOWN_GAP)


class TimeBias(nn.Module):
    """A learned number for every head and bucket of the time between two events.

    Source: Zhai et al. 2024 (HSTU), arXiv:2402.17152, section 3.2 and its published code, whose
        buckets are logarithmic in seconds. Theirs count to the time of the target; ours to
        whichever time is given.
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_heads, NUM_GAPS + 1))

    def forward(self, gaps: Int[Tensor, "B M T"], dtype: torch.dtype) -> Float[Tensor, "B A M T"]:
        """By query and key."""
        return _Lookup.apply(self.weight, gaps, dtype)


class _Lookup(torch.autograd.Function):
    """Rows of a table, head by head; the gradient is summed in float64 and keeps no array.

    Nothing but the buckets, which all layers share, is held for it.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, buckets: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(buckets)
        ctx.table = table.shape, table.dtype
        batch, num_rows, length = buckets.shape
        found = torch.empty((batch, len(table), num_rows, length), dtype=dtype, device=table.device)
        flat = buckets.flatten()
        for head, numbers in enumerate(table.to(dtype)):
            found[:, head] = numbers.index_select(0, flat).view_as(buckets)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        (buckets,) = ctx.saved_tensors
        shape, dtype = ctx.table
        flat = buckets.flatten()
        slope = torch.zeros(shape, dtype=torch.float64, device=flat.device)
        for head, row in enumerate(slope):
            row.index_add_(0, flat, gradients[0][:, head].flatten().double())
        return slope.to(dtype), None, None
