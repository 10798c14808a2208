"""Attention with an additive mask: torch's fused kernel, or materialised weights on a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

MAX_WHOLE_LENGTH = 512
"""Longest rows whose attention weights are materialised."""


def attend(
    qkv: Float[Tensor, "3 B A T H"],
    mask: Float[Tensor, "B 1 T T"] | None,
    bias: Float[Tensor, "*B A T T"] | None = None,
) -> Float[Tensor, "B A T H"]:
    """Return scaled dot-product attention of queries, keys and values; causal without a mask.

    Uses torch's fused kernel, except for short rows in bfloat16 on a CPU, where materialised
    products are faster than the kernel's blocks. A bias is added to the logits.
    """
    if mask is None and bias is not None:
        mask = causal_mask(qkv.shape[3], qkv)
    if mask is not None and prefers_whole(qkv[0]):
        return _WholeAttention.apply(qkv, mask, None if bias is None else bias.to(qkv.dtype))
    query, key, value = qkv.unbind(0)
    added = mask if mask is None or bias is None else mask + bias.to(mask.dtype)
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=added, is_causal=mask is None
    )


def prefers_whole(query: Float[Tensor, "B A T H"]) -> bool:
    """Return whether materialised weights are the faster way for rows of this length."""
    is_low = query.dtype == torch.bfloat16 and query.device.type == "cpu"
    return is_low and query.shape[2] <= MAX_WHOLE_LENGTH


def causal_mask(length: int, like: Tensor) -> Float[Tensor, "1 1 T T"]:
    """Return 0 where a query (row) attends to a key (column), else -inf."""
    mask = torch.full((1, 1, length, length), -torch.inf, dtype=like.dtype, device=like.device)
    return mask.triu(1)


class RelativeBias(nn.Module):
    """A learned attention bias for every head and distance between two positions.

    Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1, with one bucket per distance.
    """

    def __init__(self, num_heads: int, max_length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_heads, max_length))

    def forward(self, length: int) -> Float[Tensor, "A T T"]:
        """Return the bias by query and key; keys that are not earlier have distance 0."""
        columns = torch.arange(length, device=self.weight.device)
        distance = (columns[:, None] - columns).clamp(0, self.weight.shape[1] - 1)
        return self.weight[:, distance]


class _WholeAttention(torch.autograd.Function):
    """Attention by batched products, normalised after the product with the values.

    The gradient is that of Dao et al. 2022, arXiv:2205.14135, Algorithm 4, in a single block.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, mask: Tensor, bias: Tensor | None) -> Tensor:
        _, batch, num_heads, length, head_size = qkv.shape
        query, key, value = qkv.contiguous().flatten(1, 2).unbind(0)
        scale = head_size**-0.5
        scores = query.new_empty(len(query), length, length)
        torch.baddbmm(scores, query, key.transpose(1, 2), beta=0, alpha=scale, out=scores)
        scores = scores.view(batch, num_heads, length, length)
        scores.add_(mask)
        if bias is not None:
            scores.add_(bias)
        scores.sub_(scores.amax(dim=-1, keepdim=True))
        weights = scores.exp_().flatten(0, 1)
        normalizer = weights.sum(dim=-1, keepdim=True, dtype=torch.float32)
        mixed = (torch.bmm(weights, value) / normalizer).to(qkv.dtype)
        ctx.save_for_backward(query, key, value, weights, normalizer, mixed)
        ctx.is_shared = bias is not None and bias.dim() == 3  # among the rows of a batch
        return mixed.view(batch, num_heads, length, head_size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        query, key, value, weights, normalizer, mixed = ctx.saved_tensors
        batch, num_heads, _, head_size = gradients[0].shape
        scale = head_size**-0.5
        slope = gradients[0].reshape(mixed.shape) / normalizer
        mean_slope = (slope * mixed).sum(dim=-1, keepdim=True).to(query.dtype)
        slope = slope.to(query.dtype)
        result = torch.empty((3, *query.shape), dtype=query.dtype)
        score_slope = torch.bmm(slope, value.transpose(1, 2)).sub_(mean_slope).mul_(weights)
        torch.bmm(score_slope, key, out=result[0]).mul_(scale)
        torch.bmm(score_slope.transpose(1, 2), query, out=result[1]).mul_(scale)
        torch.bmm(weights.transpose(1, 2), slope, out=result[2])
        bias_slope = None
        if ctx.needs_input_grad[2]:
            bias_slope = score_slope.unflatten(0, (batch, num_heads))
            bias_slope = bias_slope.sum(dim=0) if ctx.is_shared else bias_slope
        return result.view(3, batch, num_heads, *query.shape[1:]), None, bias_slope
