"""Conversion of weights between the native Llama block and the Llama of transformers."""

from typing import Any

import torch
from transformers import LlamaConfig, LlamaModel

from seqrec.errors import SeqRecError
from seqrec.models.configuration import SeqRecDecoderConfig
from seqrec.models.native.decoder import SeqRecDecoder

_SAME = {
    "attention_norm": "input_layernorm",
    "attention.o_proj": "self_attn.o_proj",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.down_proj": "mlp.down_proj",
}
_JOINED = {
    "attention.qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "feed_forward.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
}


def to_llama(decoder: SeqRecDecoder) -> LlamaModel:
    """Return the transformers model with the same weights and outputs, up to float error."""
    config = decoder.config
    has_biases = config.relative_bias or config.time_bias is not None
    if config.block != "llama" or has_biases or config.gated_residual:
        raise SeqRecError(
            f"no Llama equivalent: block {config.block!r}, relative_bias {config.relative_bias}, "
            f"time_bias {config.time_bias}, gated_residual {config.gated_residual}; only plain "
            "block llama has one"
        )
    llama = LlamaModel(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            max_position_embeddings=config.max_position_embeddings,
            rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            pad_token_id=config.pad_token_id,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    weights = decoder.state_dict()
    tokens: Any = decoder.get_input_embeddings()
    renamed = {"embed_tokens.weight": tokens.weight.detach(), "norm.weight": weights["norm.weight"]}
    for layer in range(config.num_hidden_layers):
        for ours, theirs in _SAME.items():
            renamed[f"layers.{layer}.{theirs}.weight"] = weights[f"layers.{layer}.{ours}.weight"]
        for ours, parts in _JOINED.items():
            pieces = weights[f"layers.{layer}.{ours}.weight"].chunk(len(parts))
            for theirs, piece in zip(parts, pieces, strict=True):
                renamed[f"layers.{layer}.{theirs}.weight"] = piece
    llama.load_state_dict(renamed)
    return llama.train(decoder.training)


def from_llama(llama: LlamaModel) -> SeqRecDecoder:
    """Return the native decoder with the weights of a transformers model.

    Raises:
        SeqRecError: grouped keys, biases or scaled rotations, which the native block lacks.
    """
    config = llama.config
    rotation: dict[str, Any] = dict(config.rope_parameters or {})
    head_size = config.hidden_size // config.num_attention_heads
    has_extras = (
        config.num_key_value_heads != config.num_attention_heads
        or config.attention_bias
        or config.mlp_bias
        or config.hidden_act != "silu"
        or config.head_dim != head_size
        or rotation["rope_type"] != "default"
    )
    if has_extras:
        raise SeqRecError(
            "this Llama has grouped keys, biases, another activation or scaled rotations, which "
            "the native block lacks; use it as a backbone of type llama"
        )
    decoder = SeqRecDecoder(
        SeqRecDecoderConfig(
            block="llama",
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            max_position_embeddings=config.max_position_embeddings,
            dropout=0.0,
            item_dropout=0.0,
            relative_bias=False,
            gated_residual=False,
            initializer_range=config.initializer_range,
            norm_eps=config.rms_norm_eps,
            rope_theta=rotation["rope_theta"],
            pad_token_id=config.pad_token_id,
        )
    )
    weights = llama.state_dict()
    renamed = {name: weights[name] for name in ("embed_tokens.weight", "norm.weight")}
    for layer in range(config.num_hidden_layers):
        for ours, theirs in _SAME.items():
            renamed[f"layers.{layer}.{ours}.weight"] = weights[f"layers.{layer}.{theirs}.weight"]
        for ours, parts in _JOINED.items():
            pieces = [weights[f"layers.{layer}.{theirs}.weight"] for theirs in parts]
            renamed[f"layers.{layer}.{ours}.weight"] = torch.cat(pieces)
    decoder.load_state_dict(renamed)
    return decoder.train(llama.training)
