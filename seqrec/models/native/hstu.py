"""The HSTU block: attention without a softmax, with a gate at every position."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqrec.models.configuration import SeqRecDecoderConfig
from seqrec.models.native.attention import causal_mask
from seqrec.models.native.blocks import (
    Biased,
    Dropout,
    Rotation,
    at_positions,
    build_norm,
    select_mask_rows,
)


class HSTUBlock(Biased):
    """``x + proj(norm(A v) * u)``, with ``u, v, q, k = silu(Linear(norm(x)))``.

    ``A = silu(q k + bias) / max_length`` where a query attends to a key, else 0. Without a
    softmax the weight of an item does not depend on the number of other items, so the state keeps
    the intensity of a preference.

    Source: Zhai et al. 2024, arXiv:2402.17152, equations 1-3.
    """

    def __init__(self, config: SeqRecDecoderConfig) -> None:
        super().__init__(config)
        self.num_heads = config.num_attention_heads
        self.max_length = config.max_position_embeddings
        self.input_norm, self.mixed_norm = build_norm(config), build_norm(config)
        self.uvqk_proj = nn.Linear(config.hidden_size, 4 * config.hidden_size)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size)
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
        length = hidden.shape[1]
        projected = F.silu(self.uvqk_proj(self.input_norm(hidden)))
        gate, value, query, key = projected.chunk(4, dim=-1)
        bias = self.bias(length, gaps, projected.dtype, query_positions)
        if mask is None:
            mask = causal_mask(length, hidden)
        if query_positions is not None:
            hidden = at_positions(hidden, query_positions)
            gate = at_positions(gate, query_positions)
            query = at_positions(query, query_positions)
            mask = select_mask_rows(mask, query_positions)
        query, key, value = map(self._by_head, (query, key, value))
        scores = query @ key.transpose(-1, -2)
        weights = F.silu(scores if bias is None else scores + bias) * (mask == 0)
        mixed = (weights @ value) / self.max_length
        mixed = self.mixed_norm(mixed.transpose(1, 2).flatten(2))
        return hidden + self.o_proj(self.dropout(mixed * gate))

    def _by_head(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B A T H"]:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
