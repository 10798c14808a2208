"""The tokenizer of items: special tokens first, then one token an item.

It is an ordinary Hugging Face fast tokenizer (WordLevel over whitespace), so
``AutoTokenizer`` loads it without seqrec. Item tokens stand in one block, in catalog
order; further kinds of tokens come after them.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from jaxtyping import Int
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from seqrec.errors import SeqRecError
from seqrec.tokens.item_blocks import ItemBlocks, OneTokenItems

PAD_TOKEN = "<pad>"
UNKNOWN_TOKEN = "<unk>"
SPECIAL_TOKENS = (PAD_TOKEN, UNKNOWN_TOKEN)


def item_token(item_id: str) -> str:
    """Return the token of an item: ``<item:`` + the percent-encoded id + ``>``.

    Injective, free of whitespace, and never equal to a special token, whatever the id holds.
    """
    return f"<item:{quote(item_id, safe='')}>"


def decode_item_token(token: str) -> str:
    """Return the id whose ``item_token`` is ``token``."""
    return unquote(token[len("<item:") : -1])


def history_text(item_ids: Iterable[str]) -> str:
    """Return a history as text for the tokenizer: item tokens separated by spaces."""
    return " ".join(map(item_token, item_ids))


def build_tokenizer(
    item_ids: Sequence[str], features: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """The tokenizer of a catalog: special tokens, the items in catalog order, then features.

    Truncation keeps the end of a history, of which a model reads the last items.
    """
    words = [*SPECIAL_TOKENS, *map(item_token, item_ids), *features]
    if len(set(words)) < len(words):
        raise SeqRecError("the catalog has an item id twice; each id must be unique")
    return build_word_tokenizer(words)


def build_word_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """Return the tokenizer whose tokens are these words, the special tokens among them."""
    vocabulary = {word: token for token, word in enumerate(words)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN_TOKEN))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD_TOKEN,
        unk_token=UNKNOWN_TOKEN,
        model_input_names=["input_ids", "attention_mask"],
        truncation_side="left",
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a model folder; no code of the folder runs, nothing is downloaded.

    Raises:
        SeqRecError: the tokenizer files are missing or broken.
    """
    file = folder / "tokenizer_config.json"
    try:
        refuse_own_code(json.loads(file.read_text(encoding="utf-8")), file)
        load = partial(AutoTokenizer.from_pretrained, trust_remote_code=False)
        tokenizer = load(folder, local_files_only=True)
    except SeqRecError:
        raise
    except Exception as error:  # tokenizers raises bare Exception for a broken file
        raise SeqRecError(f"{folder}: the tokenizer files are missing or broken") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise SeqRecError(f"{folder}: holds no fast tokenizer (tokenizer.json)")
    if not isinstance(tokenizer.model_max_length, int | float):
        raise SeqRecError(f"{file}: model_max_length is no number")
    return tokenizer


def refuse_own_code(fields: Any, file: Path) -> None:
    """Refuse a configuration that names code of its folder, which would have to be run.

    Raises:
        SeqRecError: the key ``auto_map``, at any depth.
    """
    parts = fields.values() if isinstance(fields, dict) else fields
    if isinstance(fields, dict) and "auto_map" in fields:
        raise SeqRecError(
            f"{file}: auto_map names code to run, and no code of a model folder is run; remove "
            "the key, or name a model that needs none"
        )
    for part in parts if isinstance(fields, dict | list) else ():
        refuse_own_code(part, file)


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return the sha256 of the tokenizer's tokens in order and its special tokens."""
    meaning = json.dumps([get_words(tokenizer), sorted(tokenizer.special_tokens_map.items())])
    return hashlib.sha256(meaning.encode()).hexdigest()


def get_words(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the words of a tokenizer in the order of their tokens."""
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)


@dataclass(frozen=True)
class ItemTokens:
    """The tokenizer for arrays: it maps items to tokens without text in between."""

    blocks: ItemBlocks
    """The tokens of the catalog's items."""
    pad_token_id: int
    unknown_token_id: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, item_ids: Sequence[str]) -> "ItemTokens":
        """Read the tokens from a tokenizer with all items in one block, in catalog order."""
        tokens = np.asarray(tokenizer.convert_tokens_to_ids(list(map(item_token, item_ids))))
        first = int(tokens[0])
        if not np.array_equal(tokens, first + np.arange(len(item_ids))):
            raise SeqRecError(
                "the tokenizer does not have this catalog's items in order; "
                "take both from the same model folder"
            )
        blocks = OneTokenItems(first, len(item_ids))
        return cls(blocks, tokenizer.pad_token_id, tokenizer.unk_token_id)

    @property
    def num_items(self) -> int:
        """Items of the catalog."""
        return self.blocks.num_items

    @property
    def block_size(self) -> int:
        """Tokens of an item."""
        return self.blocks.length

    def encode(self, items: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape E"]:
        """Return the tokens of items; items outside the catalog become the unknown token."""
        items = np.asarray(items, dtype=np.int64)
        is_known = (items >= 0) & (items < self.num_items)
        tokens = self.blocks.encode(np.where(is_known, items, 0))
        return np.where(is_known[..., None], tokens, self.unknown_token_id)
