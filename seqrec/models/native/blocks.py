"""Transformer blocks of the SASRec and Llama types, with shared attention and dropout."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from seqrec.models.configuration import SeqRecDecoderConfig
from seqrec.models.native.attention import RelativeBias, attend
from seqrec.models.native.time_bias import TimeBias

Rotation = tuple[Float[Tensor, "B 1 T H"], Float[Tensor, "B 1 T H"]]


def rotary_angles(position_ids: Int[Tensor, "B T"], head_size: int, theta: float) -> Rotation:
    """Return cosine and sine of the rotary angles (Su et al. 2021, arXiv:2104.09864, eq. 34)."""
    exponents = torch.arange(0, head_size, 2, device=position_ids.device) / head_size
    angles = position_ids[:, None, :, None].float() / theta**exponents
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Float[Tensor, "*n B A T H"], rotation: Rotation) -> Float[Tensor, "*n B A T H"]:
    """Return queries or keys rotated by their positions; head halves are paired as in Llama."""
    cosine, sine = rotation
    first, second = x.chunk(2, dim=-1)
    rotated = torch.cat((-second, first), dim=-1)
    return (x * cosine + rotated * sine).to(x.dtype)


class Biased(nn.Module):
    """A layer whose attention adds the learned biases of its configuration to the logits."""

    def __init__(self, config: SeqRecDecoderConfig) -> None:
        super().__init__()
        num_heads = config.num_attention_heads
        self.relative_bias = self.time_bias = None
        if config.relative_bias:
            self.relative_bias = RelativeBias(num_heads, config.max_position_embeddings)
        if config.time_bias is not None:
            self.time_bias = TimeBias(num_heads)

    def bias(
        self,
        length: int,
        gaps: Int[Tensor, "B T T"] | None,
        dtype: torch.dtype,
        query_positions: Int[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "*B A M T"] | None:
        """Return the bias of the attention logits of all queries, or of ``query_positions``."""
        total = None
        if self.relative_bias is not None:
            total = self.relative_bias(length).to(dtype)
            total = total if query_positions is None else total[:, query_positions].transpose(0, 1)
        if self.time_bias is not None and gaps is not None:
            rows = gaps if query_positions is None else at_positions(gaps, query_positions)
            by_time = self.time_bias(rows, dtype)
            total = by_time if total is None else by_time + total
        return total


class Attention(Biased):
    """Causal multi-head attention; one product gives queries, keys and values."""

    def __init__(self, config: SeqRecDecoderConfig, *, has_bias: bool) -> None:
        super().__init__(config)
        self.num_heads = config.num_attention_heads
        self.qkv_proj = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=has_bias)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=has_bias)

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        mask: Float[Tensor, "B 1 T T"] | None,
        rotation: Rotation | None,
        gaps: Int[Tensor, "B T T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        batch, length, width = hidden.shape
        qkv = self.qkv_proj(hidden).view(batch, length, 3, self.num_heads, -1)
        qkv = qkv.permute(2, 0, 3, 1, 4)
        if rotation is not None:
            qkv = torch.cat((rotate(qkv[:2], rotation), qkv[2:]))
        mixed = attend(qkv, mask, self.bias(length, gaps, qkv.dtype))
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, width))

    def read(
        self,
        hidden: Float[Tensor, "B T D"],
        mask: Float[Tensor, "B 1 T T"],
        rotation: Rotation | None,
        query_positions: Int[Tensor, "B M"],
        gaps: Int[Tensor, "B T T"] | None = None,
    ) -> Float[Tensor, "B M D"]:
        """Return the output of ``forward`` at ``query_positions`` only; all positions are keys."""
        batch, length, width = hidden.shape
        queries, pairs = self._project(hidden, query_positions)
        query = queries.view(batch, -1, self.num_heads, width // self.num_heads).transpose(1, 2)
        key, value = pairs.view(batch, length, 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        if rotation is not None:
            angles = [angle.expand(batch, -1, -1, -1).squeeze(1) for angle in rotation]
            here = [at_positions(angle, query_positions)[:, None] for angle in angles]
            query, key = rotate(query, (here[0], here[1])), rotate(key, rotation)
        added = select_mask_rows(mask, query_positions)
        learned = self.bias(length, gaps, mask.dtype, query_positions)
        if learned is not None:
            added = added + learned
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=added)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, -1, width))

    def _project(
        self, hidden: Float[Tensor, "B T D"], query_positions: Int[Tensor, "B M"]
    ) -> tuple[Float[Tensor, "B M D"], Float[Tensor, "B T 2*D"]]:
        """Return the queries at ``query_positions``, and keys and values at all positions.

        A plain layer skips the products of other queries. Any other layer, such as an adapter or
        a quantised one, computes all of them, since its weight cannot be sliced.
        """
        width, layer = hidden.shape[2], self.qkv_proj
        if not is_plain(layer):
            projected = layer(hidden)
            return at_positions(projected[:, :, :width], query_positions), projected[:, :, width:]
        bias = layer.bias
        query_bias, pair_bias = (None, None) if bias is None else (bias[:width], bias[width:])
        queries = F.linear(at_positions(hidden, query_positions), layer.weight[:width], query_bias)
        return queries, F.linear(hidden, layer.weight[width:], pair_bias)


def is_plain(layer: nn.Module) -> bool:
    """Return whether a layer computes only the product with its weight."""
    has_hooks = layer._forward_hooks or layer._forward_pre_hooks
    return type(layer) is nn.Linear and not has_hooks


class Dropout(nn.Module):
    """Dropout with a mask of 16 random bits per element: ``share`` is rounded to 1/65,536.

    Torch's dropout draws one number per element, which on a CPU takes longer than the layers
    around it.
    """

    LEVELS = 1 << 16

    def __init__(self, share: float) -> None:
        super().__init__()
        self.dropped_levels = round(share * self.LEVELS)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        if not self.training or not self.dropped_levels:
            return x
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
        bits = draws.random_(-(2**63), None).view(torch.int16)[: x.numel()].view(x.shape)
        mask = bits >= self.dropped_levels - self.LEVELS // 2
        return x * (mask * (self.LEVELS / (self.LEVELS - self.dropped_levels))).to(x.dtype)


class GELUFeedForward(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, config: SeqRecDecoderConfig) -> None:
        super().__init__()
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.down_proj(F.gelu(self.up_proj(hidden)))


class GatedFeedForward(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202), without bias; one product gives gate and up."""

    def __init__(self, config: SeqRecDecoderConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.gate_up_proj = nn.Linear(width, 2 * inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        gate, up = self.gate_up_proj(hidden).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)


class ResidualGate(nn.Module):
    """Gate of a layer's output: a logistic function of its input, unit by unit.

    Source: Borisyuk et al. 2024 (LiRank), arXiv:2402.06859; eSASRec (arXiv:2508.06450) uses the
        same gate. Ours is about 0.5 at the start of training.
    """

    def __init__(self, config: SeqRecDecoderConfig) -> None:
        super().__init__()
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, added: Float[Tensor, "B T D"], read: Float[Tensor, "B T D"]
    ) -> Float[Tensor, "B T D"]:
        return added * self.proj(read).sigmoid()


class Block(nn.Module):
    """Pre-norm attention and feed-forward, each added to the residual stream."""

    def __init__(self, config: SeqRecDecoderConfig) -> None:
        super().__init__()
        self.attention_gate = self.feed_forward_gate = None
        if config.gated_residual:
            self.attention_gate, self.feed_forward_gate = (ResidualGate(config) for _ in range(2))
        self.attention_norm = build_norm(config)
        self.attention = Attention(config, has_bias=config.block == "sasrec")
        self.feed_forward_norm = build_norm(config)
        is_llama = config.block == "llama"
        self.feed_forward = GatedFeedForward(config) if is_llama else GELUFeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        mask: Float[Tensor, "B 1 T T"] | None,
        rotation: Rotation | None,
        query_positions: Int[Tensor, "B M"] | None = None,
        gaps: Int[Tensor, "B T T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Return the residual stream after this block; only at ``query_positions`` if given."""
        normed = self.attention_norm(hidden)
        if query_positions is None or mask is None:
            mixed = self.attention(normed, mask, rotation, gaps)
        else:
            mixed = self.attention.read(normed, mask, rotation, query_positions, gaps)
            hidden = at_positions(hidden, query_positions)
            normed = at_positions(normed, query_positions)
        if self.attention_gate is not None:
            mixed = self.attention_gate(mixed, normed)
        hidden = hidden + self.dropout(mixed)
        normed = self.feed_forward_norm(hidden)
        added = self.feed_forward(normed)
        if self.feed_forward_gate is not None:
            added = self.feed_forward_gate(added, normed)
        return hidden + self.dropout(added)


def at_positions(
    hidden: Shaped[Tensor, "B T D"], positions: Int[Tensor, "B M"]
) -> Shaped[Tensor, "B M D"]:
    """Return the values at some positions of each row."""
    return hidden.gather(1, positions[:, :, None].expand(-1, -1, hidden.shape[-1]))


def put_at_positions(
    hidden: Float[Tensor, "B T D"], positions: Int[Tensor, "B M"], values: Float[Tensor, "B M D"]
) -> Float[Tensor, "B T D"]:
    """Write values to some positions of each row, in place; return the tensor."""
    return hidden.scatter_(1, positions[:, :, None].expand(-1, -1, hidden.shape[-1]), values)


def select_mask_rows(
    mask: Float[Tensor, "B 1 T T"], query_positions: Int[Tensor, "B M"]
) -> Float[Tensor, "B 1 M T"]:
    """Return the mask rows of some query positions."""
    return mask.gather(2, query_positions[:, None, :, None].expand(-1, 1, -1, mask.shape[3]))


def build_norm(config: SeqRecDecoderConfig) -> nn.Module:
    """Return the norm of a block type: RMSNorm for llama, else LayerNorm."""
    norm = nn.RMSNorm if config.block == "llama" else nn.LayerNorm
    return norm(config.hidden_size, eps=config.norm_eps)
