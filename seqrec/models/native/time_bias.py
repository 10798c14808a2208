"""Attention bias by the time between two events."""

from math import ceil
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqrec.tokens.events.times import MICROSECONDS, NO_TIME

NUM_GAPS = 64
"""Number of buckets of known gaps; the last one has no upper limit."""
UNKNOWN_GAP = NUM_GAPS
"""The bucket of gaps with an unknown time."""
EDGES = [ceil(MICROSECONDS * (2 ** (step / 2) - 1)) for step in range(1, NUM_GAPS)]
"""Lower edges of all buckets but the first, in microseconds: two per doubling."""


def gap_buckets(times: Int[Tensor, "B T 2"]) -> Int[Tensor, "B T T"]:
    """Return the bucket of the time from the key's event (column) to the query's time (row).

    The bucket is ``floor(2 log2(1 + seconds))``, computed from whole microseconds. Keys that are
    not earlier have gap 0.

    Args:
        times: event time and reference time of each position; a query's gaps end at its reference
            time.
    """
    key_time, query_time = times.unbind(dim=2)
    gap = query_time[:, :, None] - key_time[:, None, :]
    edges = torch.tensor(EDGES, device=times.device)
    buckets = torch.bucketize(gap, edges, right=True, out_int32=True)
    is_unknown = (query_time == NO_TIME)[:, :, None] | (key_time == NO_TIME)[:, None, :]
    return buckets.masked_fill_(is_unknown, UNKNOWN_GAP)


class TimeBias(nn.Module):
    """A learned attention bias for every head and bucket of the time between two events.

    Source: Zhai et al. 2024 (HSTU), arXiv:2402.17152, section 3.2 and its published code, whose
        buckets are logarithmic in seconds. Their gaps end at the time of the target; ours at the
        given reference time.
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_heads, NUM_GAPS + 1))

    def forward(self, gaps: Int[Tensor, "B M T"], dtype: torch.dtype) -> Float[Tensor, "B A M T"]:
        """Return the bias by query and key."""
        return _Lookup.apply(self.weight, gaps, dtype)


class _Lookup(torch.autograd.Function):
    """Table lookup, head by head, with a gradient summed in float64.

    It saves only the buckets, which all layers share, for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, buckets: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(buckets)
        ctx.table = table.shape, table.dtype
        batch, num_rows, length = buckets.shape
        bias = torch.empty((batch, len(table), num_rows, length), dtype=dtype, device=table.device)
        flat = buckets.flatten()
        for head, numbers in enumerate(table.to(dtype)):
            bias[:, head] = numbers.index_select(0, flat).view_as(buckets)
        return bias

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
