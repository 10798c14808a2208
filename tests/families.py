"""Tiny random language models of every family that tests run, with tokenizers of a few words."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

WORDS = [
    "I liked it very much, something lighter? The user watched a film about the sea.",
    "Toy Story 1995, GoldenEye, Four Rooms, Get Shorty, Copycat, Babe, Seven, Braveheart",
]
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.1,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **SIZES},
    "qwen3": {"model_type": "qwen3", "head_dim": 8, **SIZES},
    "gemma3": {
        "model_type": "gemma3_text",
        "head_dim": 8,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"],
        **SIZES,
    },
    "mistral": {"model_type": "mistral", "head_dim": 8, "sliding_window": 8, **SIZES},
    "gpt2": {
        "model_type": "gpt2",
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 2048,
        "initializer_range": 0.1,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    },
    "smollm": {"model_type": "llama", "tie_word_embeddings": True, "rope_theta": 1e5, **SIZES},
}
"""Configurations of the families, without the vocabulary."""
SPECIAL = {
    "llama": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    "qwen3": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    "gemma3": {
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
    },
    "mistral": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    "gpt2": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
    "smollm": {
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
    },
}
"""Special tokens as the families have them: some lack padding, some an unknown token."""
STARTS_WITH_BOS = ("llama", "gemma3", "mistral")
"""Families whose tokenizers put the first special token before every text."""


def tiny_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with the special tokens of a family."""
    special = SPECIAL[family]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=list(dict.fromkeys(special.values())),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(WORDS, trainer)
    if family in STARTS_WITH_BOS:
        bos = special["bos_token"]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, backend.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def tiny_model(family: str, vocab_size: int = 320) -> PreTrainedModel:
    """Return a language model of a family with random weights, in evaluation mode."""
    settings = FAMILIES[family]
    fields = {name: value for name, value in settings.items() if name != "model_type"}
    config = AutoConfig.for_model(settings["model_type"], vocab_size=vocab_size, **fields)
    return AutoModelForCausalLM.from_config(config, trust_remote_code=False).eval()


def save_tiny(folder: Path, family: str = "smollm", **save: Any) -> Path:
    """Write a tiny model of a family and its tokenizer as transformers does."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(family)
    tiny_model(family, len(tokenizer)).save_pretrained(folder, **save)
    tokenizer.save_pretrained(folder)
    return folder
