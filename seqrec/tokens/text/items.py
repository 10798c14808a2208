"""Items that texts name as tokens, such as ``<item:318>``."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from seqrec.errors import SeqRecError, quote
from seqrec.tokens.text.examples import TextExample
from seqrec.tokens.tokenizer import item_token

ITEM = re.compile(r"<item:[^\s<>]*>")
HISTORY = "history"
"""Key of a record that is a history of items: their ids, oldest first."""
TEXT_KEYS = ("messages", "prompt", "completion", "text", "chosen", "rejected")


def find_item_words(text: str) -> list[str]:
    """Return the spellings of items in a text, in order."""
    return ITEM.findall(text)


def names_items(words: Iterable[str]) -> bool:
    """Return True if items are among the words of a tokenizer."""
    return any(ITEM.fullmatch(word) for word in words)


def check_items(record: Mapping[str, Any], words: Container[str], name: str) -> None:
    """Refuse a record of text that names an item which the catalog lacks.

    Args:
        record: has ``messages``, ``prompt`` with ``completion`` or two answers, or ``text``.
        words: of the tokenizer, those of items among them.
        name: the record in messages.

    Raises:
        SeqRecError: the first such item.
    """
    for text in _list_texts([record.get(key) for key in TEXT_KEYS]):
        for word in find_item_words(text):
            if word not in words:
                raise SeqRecError(
                    f"{name}: {word} is no item of the catalog; correct the id, which is "
                    "percent-encoded, or prepare a catalog that has it"
                )


def encode_history(
    item_ids: Any, vocabulary: Mapping[str, int], length: int, name: str
) -> TextExample | None:
    """Return the last items of a history as an example, each of which is learned after others.

    None for a history of less than two items.

    Args:
        item_ids: ids of the items, oldest first.
        vocabulary: tokens by word.
        length: most items that are read.
        name: the record in messages.

    Raises:
        SeqRecError: no list of ids, or an id that the catalog lacks.
    """
    if not isinstance(item_ids, list) or not all(isinstance(one, str) for one in item_ids):
        raise SeqRecError(f"{name}: {HISTORY} is {quote(item_ids)}, not a list of item ids as text")
    words = [item_token(item_id) for item_id in item_ids[-length:]]
    for item_id, word in zip(item_ids[-length:], words, strict=True):
        if word not in vocabulary:
            raise SeqRecError(f"{name}: {quote(item_id)} is no item of the catalog; correct the id")
    if len(words) < 2:
        return None
    tokens = np.array([vocabulary[word] for word in words], dtype=np.int64)
    return TextExample(tokens, np.ones(len(tokens), dtype=np.float32))


def _list_texts(value: Any) -> Iterator[str]:
    """Yield every text within a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _list_texts(list(value.values()))
    elif isinstance(value, list):
        for part in value:
            yield from _list_texts(part)
