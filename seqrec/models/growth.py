"""Growth of a language model's vocabulary: tokenizer, input embedding and word head together."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from seqrec.errors import SeqRecError
from seqrec.models.start_rows import StartRows, random_rows
from seqrec.tokens.growth import grow_tokenizer

PADDING_MULTIPLE = 64


def pad_size(size: int) -> int:
    """Round a number of rows up to a multiple of 64, which suits matrix products."""
    return -(-size // PADDING_MULTIPLE) * PADDING_MULTIPLE


class GrownVocabulary(NamedTuple):
    """The tokenizer of a model that has grown, and the new words' tokens."""

    tokenizer: PreTrainedTokenizerFast
    tokens: range
    """The tokens of the new words, in their order: the rows that adapters have to train."""


@torch.no_grad()
def grow_vocabulary(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    words: Sequence[str],
    start: StartRows | None = None,
) -> GrownVocabulary:
    """Give a language model new words, in place; its tokenizer is copied.

    Old words keep their tokens and, bit for bit, their rows. Rows are padded to a multiple of 64.
    The configuration says how many are real (``num_tokens``) and how many there are
    (``vocab_size``); ``generate`` never samples the padding, also without seqrec, because the
    generation settings suppress it.

    Args:
        model: a causal language model, with tied or untied word head, or a decoder without one.
        tokenizer: its tokenizer.
        words: ``item_token`` of items in catalog order, semantic codes, or any words; those that
            are there already are left as they are.
        start: gives a row for each of ``words``; by default drawn at the scale of the old rows.

    Raises:
        SeqRecError: a model with unmerged adapters, a vocabulary that was grown on one side only,
            or words that no tokenizer would find again.
    """
    if hasattr(model, "peft_config"):
        raise SeqRecError("the model has adapters, which hold old rows; merge them before growth")
    check_vocabulary(model, tokenizer, type(model).__name__)
    grown, first_token, new = grow_tokenizer(tokenizer, words)
    num_old, tokens = first_token, range(first_token, first_token + len(new))
    is_new = [word in set(new) for word in words]
    give_rows = start or random_rows(len(words))
    tables = _get_tables(model)
    rows = [give_rows(table[:num_old])[torch.tensor(is_new, dtype=torch.bool)] for table in tables]
    num_rows = len(tables[0])
    padded = pad_size(max(tokens.stop, num_rows))
    if padded != num_rows:
        model.resize_token_embeddings(padded, mean_resizing=False)
    for table, own in zip(_get_tables(model), rows, strict=True):
        table[num_rows:] = 0
        table[tokens.start : tokens.stop] = own.to(table)
    bias = getattr(model.get_output_embeddings(), "bias", None)
    if bias is not None:
        bias[num_old:] = 0
    _record(model, range(num_rows, first_token), tokens, padded)
    return GrownVocabulary(grown, tokens)


def _get_tables(model: PreTrainedModel) -> list[Tensor]:
    """Return the input embedding and an untied word head, as tables with a row a token."""
    modules: list[nn.Module | None] = [model.get_input_embeddings(), model.get_output_embeddings()]
    tables = [module.weight for module in modules if module is not None]
    if len(tables) == 2 and tables[0] is tables[1]:
        del tables[1]
    return tables  # type: ignore[return-value]


def _record(model: PreTrainedModel, without_row: range, new: range, num_rows: int) -> None:
    """Record real and padded size, and forbid tokens that nobody taught in generated text.

    Args:
        model: has grown.
        without_row: old tokens that had no row.
        new: the new tokens.
        num_rows: with padding.
    """
    _text_config(model.config).num_tokens = new.stop
    settings = getattr(model, "generation_config", None)
    if settings is not None:
        old = [token for token in settings.suppress_tokens or () if token < new.start]
        settings.suppress_tokens = [*old, *without_row, *range(new.stop, num_rows)] or None


def _text_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """Return the part of a configuration that describes the decoder of text."""
    return config.get_text_config(decoder=True)


def get_num_tokens(config: PreTrainedConfig) -> int:
    """Return the number of real tokens of a model: the rows after them are padding.

    A model that has not grown says nothing of padding, and all of its rows count.
    """
    text = _text_config(config)
    return getattr(text, "num_tokens", None) or text.vocab_size


def check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    """Refuse a model whose vocabulary was grown on one side only.

    Args:
        model: a language model.
        tokenizer: the tokenizer beside it.
        name: name of the model, for the error.

    Raises:
        SeqRecError: tables of different sizes, a token without a row, or another number of tokens
            than the configuration records.
    """
    sizes = {len(table) for table in _get_tables(model)}
    num_words = 1 + max(tokenizer.get_vocab().values())
    recorded = getattr(_text_config(model.config), "num_tokens", None)
    has_rows = len(sizes) == 1 and (num_words <= min(sizes) or _count_read(tokenizer) <= min(sizes))
    if not has_rows or recorded not in (None, num_words):
        rows = " and ".join(f"{size:,}" for size in sorted(sizes))
        of = "" if recorded is None else f", {recorded:,} of them real"
        raise SeqRecError(
            f"{name}: its tokenizer has {num_words:,} tokens and its weights {rows} rows{of}; the "
            "vocabulary was grown on one side only: take both from one folder"
        )


def _count_read(tokenizer: PreTrainedTokenizerFast) -> int:
    """Return the number of tokens up to the last one that texts are given.

    Special tokens count if the chat template names them, or have a role. Models of Gemma 3 for
    text alone have one more, for images, without a row.
    """
    template = str(tokenizer.chat_template or "")
    roles = (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token)
    unread = {
        token
        for token, added in tokenizer.added_tokens_decoder.items()
        if added.special and added.content not in roles and added.content not in template
    }
    return 1 + max(token for token in tokenizer.get_vocab().values() if token not in unread)
