"""Transformer blocks: the SASRec type and the Llama type, over one attention."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqrec.models.configuration import SeqRecDecoderConfig

Rotation = tuple[Float[Tensor, "B 1 T H"], Float[Tensor, "B 1 T H"]]


def rotary_angles(position_ids: Int[Tensor, "B T"], head_size: int, theta: float) -> Rotation:
    """Cosine and sine of the rotary angles (Su et al. 2021, arXiv:2104.09864, eq. 34)."""
    exponents = torch.arange(0, head_size, 2, device=position_ids.device) / head_size
    angles = position_ids[:, None, :, None].float() / theta**exponents
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Float[Tensor, "B A T H"], rotation: Rotation) -> Float[Tensor, "B A T H"]:
    """Queries or keys turned by their positions, the halves of a head paired as in Llama."""
    cosine, sine = rotation
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (x * cosine + turned * sine).to(x.dtype)


class Attention(nn.Module):
    """Causal multi-head attention; queries, keys and values come from one product."""

    def __init__(self, config: SeqRecDecoderConfig, *, has_bias: bool) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.dropout = config.dropout
        self.qkv_proj = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=has_bias)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=has_bias)

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        mask: Float[Tensor, "B 1 T T"] | None,
        rotation: Rotation | None,
    ) -> Float[Tensor, "B T D"]:
        batch, length, width = hidden.shape
        qkv = self.qkv_proj(hidden).view(batch, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        mixed = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=mask is None,
        )
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, width))


class GELUFeedForward(nn.Module):
    """Two layers with a GELU between."""

    def __init__(self, config: SeqRecDecoderConfig) -> None:
        super().__init__()
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.down_proj(F.gelu(self.up_proj(hidden)))


class GatedFeedForward(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202), without bias; gate and up from one product."""

    def __init__(self, config: SeqRecDecoderConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.gate_up_proj = nn.Linear(width, 2 * inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        gate, up = self.gate_up_proj(hidden).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)


class Block(nn.Module):
    """Pre-norm attention and feed-forward, each added to the residual stream."""

    def __init__(self, config: SeqRecDecoderConfig) -> None:
        super().__init__()
        self.attention_norm = build_norm(config)
        self.attention = Attention(config, has_bias=config.block == "sasrec")
        self.feed_forward_norm = build_norm(config)
        is_llama = config.block == "llama"
        self.feed_forward = GatedFeedForward(config) if is_llama else GELUFeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        mask: Float[Tensor, "B 1 T T"] | None,
        rotation: Rotation | None,
    ) -> Float[Tensor, "B T D"]:
        mixed = self.attention(self.attention_norm(hidden), mask, rotation)
        hidden = hidden + self.dropout(mixed)
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))


def build_norm(config: SeqRecDecoderConfig) -> nn.Module:
    """The norm of the block style: LayerNorm (sasrec) or RMSNorm (llama)."""
    norm = nn.RMSNorm if config.block == "llama" else nn.LayerNorm
    return norm(config.hidden_size, eps=config.norm_eps)
