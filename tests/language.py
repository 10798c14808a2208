"""A tiny language model with a tokenizer of bytes and a chat template, for tests."""

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.decoders import ByteLevel
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

CHATML = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe kind<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIALS = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>")
SPECIALS += ("<|end_header_id|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>")


def build_byte_tokenizer(template=CHATML, end="<|im_end|>"):
    """A tokenizer whose tokens are bytes and special tokens, without merges."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {letter: number for number, letter in enumerate(letters)}
    core = Tokenizer(models.BPE(vocab=words, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=end, pad_token=end)
    others = [one for one in SPECIALS if one != end]
    tokenizer.add_special_tokens({"additional_special_tokens": others})
    tokenizer.chat_template = template
    return tokenizer


def tiny_llama(seed=0, *, width=32, tied=True):
    """A Llama of random weights over bytes and special tokens."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=320,
            hidden_size=width,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            tie_word_embeddings=tied,
            initializer_range=0.2,
            bos_token_id=None,
            eos_token_id=None,
        )
    ).eval()


def save_tiny_llama(folder, seed=0, *, width=32):
    """Write a model folder of a tiny Llama."""
    tiny_llama(seed, width=width).save_pretrained(folder)
    build_byte_tokenizer().save_pretrained(folder)
    return folder


def save_tiny_encoder(folder):
    """A text encoder of random weights over a few words."""
    words = ["[UNK]", "[PAD]", "Crime", "Sci", "Fi", "Comedy", "heist", "space", "wedding", "crew"]
    core = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]")
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=32, intermediate_size=16, **sizes)).save_pretrained(folder)
    return folder
