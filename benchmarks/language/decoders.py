"""Decoders of transformers in the size of the native one, with random weights."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

from seqrec.tokens.tokenizer import SPECIAL_TOKENS, build_word_tokenizer

SIZE = {
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
FAMILIES = {"Llama": LlamaConfig, "Qwen3": Qwen3Config}
POSITIONS = 512


def write_decoder(folder: Path, family: str) -> Path:
    """Write a model of a family that knows special tokens alone, and return its folder."""
    if not folder.exists():
        torch.manual_seed(0)
        config = FAMILIES[family](
            **SIZE,
            vocab_size=len(SPECIAL_TOKENS),
            num_key_value_heads=SIZE["num_attention_heads"],
            head_dim=SIZE["hidden_size"] // SIZE["num_attention_heads"],
            max_position_embeddings=POSITIONS,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=0,
        )
        build_word_tokenizer(list(SPECIAL_TOKENS)).save_pretrained(folder)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder
