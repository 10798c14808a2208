"""Digits in the tokenizers of GGUF files."""

from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import PreTrainedTokenizerFast

DIGITS = frozenset("0123456789")


def split_digits(tokenizer: PreTrainedTokenizerFast) -> None:
    """Let digits stand alone if a tokenizer's words join none to anything, in place.

    Such a vocabulary (SmolLM2's) was learned from digits that stood alone. A GGUF file says so by a
    name that transformers leaves unread: a blank before a digit then joins it and not the blanks
    before. Other vocabularies, and those that are not split as GPT-2's, stay as they are.
    """
    backend = tokenizer.backend_tokenizer
    words = tokenizer.get_vocab()
    joins = any(len(word) > 1 and DIGITS.intersection(word) for word in words)
    if isinstance(backend.pre_tokenizer, ByteLevel) and not joins:
        parts = [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
        backend.pre_tokenizer = Sequence(parts)  # type: ignore[assignment]
