"""Tiny random language models of several families, and a tokenizer of bytes, made in place."""

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Special tokens, the first three of the vocabulary."""
SIZES = {"vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
IDS = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Three special tokens and all 256 bytes, 259 tokens, as byte-level BPE without merges."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*CONTROL, *letters]
    vocabulary = {word: token for token, word in enumerate(words)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(word, normalized=False) for word in CONTROL])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=CONTROL[0],
        pad_token=CONTROL[0],
        additional_special_tokens=list(CONTROL[1:]),
        model_input_names=["input_ids", "attention_mask"],
    )


def tiny_config(family: str, **changes) -> PreTrainedConfig:
    """The configuration of a decoder, 32 wide and two blocks deep, of 320 rows."""
    if family == "gpt2":
        own = {"vocab_size": 320, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128}
        return GPT2Config(**{**own, "bos_token_id": 0, "eos_token_id": 2, **changes})
    kind = {"llama": LlamaConfig, "gemma3": Gemma3TextConfig}[family]
    return kind(**{**SIZES, **HEADS, **IDS, "max_position_embeddings": 128, **changes})


def tiny_language_model(family: str, **changes) -> PreTrainedModel:
    """A causal language model with random weights, in evaluation mode."""
    return AutoModelForCausalLM.from_config(tiny_config(family, **changes)).eval()
