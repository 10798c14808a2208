"""Growth of a tokenizer: new words stand in one block after the old ones, which keep their tokens.

A language model's tokenizer finds a new word inside text and between spaces alike, and what
stands before it is encoded as if the text ended there. New words are no special tokens: they stay
in decoded answers, and ``encode_plain_text`` finds them where it leaves special tokens alone.
"""

import copy
import json
from collections.abc import Sequence
from typing import NamedTuple

from tokenizers import AddedToken, Tokenizer, models
from transformers import PreTrainedTokenizerFast

from seqrec.errors import SeqRecError
from seqrec.tokens.tokenizer import build_word_tokenizer, get_words, item_token


class GrownTokenizer(NamedTuple):
    """A tokenizer with new words."""

    tokenizer: PreTrainedTokenizerFast
    first_token: int
    """The token of the first new word; the others follow."""
    words: list[str]
    """The new words, in the order of their tokens."""


def grow_tokenizer(tokenizer: PreTrainedTokenizerFast, words: Sequence[str]) -> GrownTokenizer:
    """Return a copy of a tokenizer that has all of the words as tokens.

    Args:
        tokenizer: of items, or a language model's.
        words: such as ``item_token`` of items in catalog order; words that are tokens already keep
            their tokens.

    Raises:
        SeqRecError: a word that is empty, has blanks or is there twice, or a tokenizer whose tokens
            have gaps.
    """
    check_words(words)
    vocabulary = tokenizer.get_vocab()
    new = [word for word in words if word not in vocabulary]
    first_token = 1 + max(vocabulary.values(), default=-1)
    if isinstance(tokenizer.backend_tokenizer.model, models.WordLevel):
        grown = build_word_tokenizer([*get_words(tokenizer), *new])
        grown.model_max_length = tokenizer.model_max_length
    else:
        grown = copy.deepcopy(tokenizer)
        grown.add_tokens([AddedToken(word, normalized=False, special=False) for word in new])
    tokens = list(range(first_token, first_token + len(new)))
    if grown.convert_tokens_to_ids(new) != tokens:
        raise SeqRecError(
            f"tokenizer: its {len(vocabulary):,} tokens are not numbered 0 to "
            f"{len(vocabulary) - 1:,}, so that new words cannot follow them; name another tokenizer"
        )
    return GrownTokenizer(grown, first_token, new)


def replace_items(
    tokenizer: PreTrainedTokenizerFast, old_ids: Sequence[str], item_ids: Sequence[str]
) -> PreTrainedTokenizerFast:
    """Return a copy of a tokenizer whose block of items is that of another catalog.

    Words before the items keep their tokens; words after them follow the new items. Spaces before
    new items are treated as before old ones.

    Args:
        tokenizer: of items, or a language model's that was grown by items.
        old_ids: its items.
        item_ids: items of the other catalog, in order.
    """
    words = get_words(tokenizer)
    first_token = tokenizer.get_vocab()[item_token(old_ids[0])]
    before, after = words[:first_token], words[first_token + len(old_ids) :]
    block = [*map(item_token, item_ids), *after]
    if isinstance(tokenizer.backend_tokenizer.model, models.WordLevel):
        replaced = build_word_tokenizer([*before, *block])
        replaced.model_max_length = tokenizer.model_max_length
        return replaced
    replaced, kept = copy.deepcopy(tokenizer), set(before)
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    added = {one["content"]: one for one in state["added_tokens"]}
    like = added[item_token(old_ids[0])]
    state["added_tokens"] = [one for word, one in added.items() if word in kept]
    replaced._tokenizer = Tokenizer.from_str(json.dumps(state))  # type: ignore[assignment]
    settings = {key: like[key] for key in ("lstrip", "rstrip", "single_word", "normalized")}
    replaced.add_tokens([AddedToken(word, special=False, **settings) for word in block])
    return replaced


def check_words(words: Sequence[str]) -> None:
    """Refuse words that no tokenizer would find again.

    Raises:
        SeqRecError: the first one that is empty, has blanks or is there twice.
    """
    seen = set()
    for word in words:
        if not word or any(letter.isspace() for letter in word):
            raise SeqRecError(f"new word {word!r}: is empty or has blanks; escape them")
        if word in seen:
            raise SeqRecError(f"new word {word!r}: is there twice; name it once")
        seen.add(word)


def encode_plain_text(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of texts in which special tokens are at most spelled, never meant.

    ``<|im_end|>`` in a user's text is encoded as the letters that it is made of. Words of a growth,
    such as items, are found. No token is added at the start or end.
    """
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        split_special_tokens=True,
        verbose=False,  # a text may be longer than the histories that the model reads
    )
    return [list(tokens) for tokens in encoded["input_ids"]]
