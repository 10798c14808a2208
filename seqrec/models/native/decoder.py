"""The native decoder: token embedding, blocks and final norm, with the transformers interface."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from seqrec.models.configuration import SeqRecDecoderConfig
from seqrec.models.native.blocks import Block, Dropout, build_norm, put_at_positions, rotary_angles
from seqrec.models.native.hstu import HSTUBlock
from seqrec.models.native.time_bias import UNKNOWN_GAP


class SeqRecDecoder(PreTrainedModel):
    """A causal decoder without a head."""

    config_class = SeqRecDecoderConfig
    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    config: SeqRecDecoderConfig

    def __init__(self, config: SeqRecDecoderConfig) -> None:
        super().__init__(config)
        self.embed_tokens: nn.Module = nn.Embedding(config.vocab_size, config.hidden_size)
        self.embed_positions = None
        if config.rope_theta is None:
            self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.dropout = Dropout(config.dropout)
        self.item_dropout = Dropout(config.item_dropout)
        block = HSTUBlock if config.block == "hstu" else Block
        self.layers = nn.ModuleList(block(config) for _ in range(config.num_hidden_layers))
        self.norm = build_norm(config)
        self.gradient_checkpointing = False
        """Set by ``gradient_checkpointing_enable``: blocks are computed again going backward."""
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embed_tokens = value

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.LayerNorm | nn.RMSNorm):
            nn.init.ones_(module.weight)

    def forward(
        self,
        input_ids: Int[Tensor, "B T"] | None = None,
        attention_mask: Float[Tensor, "B 1 T T"] | None = None,
        position_ids: Int[Tensor, "B T"] | None = None,
        query_positions: Int[Tensor, "B M"] | None = None,
        inputs_embeds: Float[Tensor, "B T D"] | None = None,
        gaps: Int[Tensor, "B T T"] | None = None,
        cache: list[Tensor] | None = None,
    ) -> BaseModelOutput:
        """Return the hidden state of every position, or of ``query_positions``.

        Args:
            input_ids: tokens.
            attention_mask: bias of the attention logits: 0 where a query (row) attends to a key
                (column), the dtype's minimum or less elsewhere. Absent: causal attention.
            position_ids: positions counted from 0 at the start of each history. Absent: columns.
            query_positions: positions of each row whose hidden states are returned; all if
                absent. The last block computes them only. Needs ``attention_mask``.
            inputs_embeds: input vectors that replace the token embeddings.
            gaps: time-gap bucket of each query (row) and key (column), for a decoder with a time
                bias; unknown if absent.
            cache: inputs of every block except the first. An empty list is filled. A filled list
                needs rows that differ from the previous call only at ``query_positions``; all
                blocks then compute these positions only, and the list is updated in place.
        """
        hidden = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if position_ids is None:
            position_ids = torch.arange(hidden.shape[1], device=hidden.device)
            position_ids = position_ids.expand(hidden.shape[:2])
        if self.training and self.config.item_dropout:
            hidden = hidden * self.item_dropout(torch.ones_like(hidden[..., :1]))
        rotation = None
        if self.embed_positions is not None:
            hidden = hidden + self.embed_positions(position_ids)
        if self.config.rope_theta is not None:
            head_size = self.config.hidden_size // self.config.num_attention_heads
            rotation = rotary_angles(position_ids, head_size, self.config.rope_theta)
        if self.config.time_bias is not None and gaps is None:
            unknown = position_ids.new_full((), UNKNOWN_GAP, dtype=torch.int32)
            gaps = unknown.expand(*hidden.shape[:2], hidden.shape[1])
        hidden = self.dropout(hidden)
        *layers, last = self.layers
        is_filled = bool(cache)
        for number, layer in enumerate(layers):
            positions = query_positions if is_filled else None
            hidden = self._apply_block(layer, hidden, attention_mask, rotation, positions, gaps)
            if cache is not None and not is_filled:
                cache.append(hidden)
            elif cache is not None and query_positions is not None:
                hidden = put_at_positions(cache[number], query_positions, hidden)
        hidden = self._apply_block(last, hidden, attention_mask, rotation, query_positions, gaps)
        return BaseModelOutput(last_hidden_state=self.norm(hidden))

    def _apply_block(self, block: nn.Module, *inputs: Any) -> Float[Tensor, "B T D"]:
        if self.gradient_checkpointing and self.training:
            return self._gradient_checkpointing_func(block, *inputs)
        return block(*inputs)
