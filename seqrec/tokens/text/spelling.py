"""Tokens of texts in which some stretches spell special tokens without meaning them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerFast


class Encoded(NamedTuple):
    """A text as tokens."""

    tokens: Int[np.ndarray, " T"]
    places: Int[np.ndarray, "T 2"]
    """First letter of each token in the text, and one past its last."""


def encode_rendered(
    tokenizer: PreTrainedTokenizerFast, text: str, spelled: Sequence[tuple[int, int]]
) -> Encoded:
    """Return the tokens of a text; the stretches that spell a special token stay letters.

    Without such stretches they are those of the tokenizer for the whole text. Items are found
    everywhere.

    Args:
        tokenizer: of the model.
        text: what a chat template made, special tokens of its own included.
        spelled: ranges of letters, in order, in which no special token is meant.
    """
    tokens: list[int] = []
    places: list[tuple[int, int]] = []
    bounds = [bound for part in spelled for bound in part]
    for number, (start, end) in enumerate(zip([0, *bounds], [*bounds, len(text)], strict=True)):
        if start == end:
            continue
        coded = tokenizer(
            text[start:end],
            add_special_tokens=False,
            return_offsets_mapping=True,
            split_special_tokens=number % 2 == 1,
            verbose=False,
        )
        tokens += coded["input_ids"]
        places += [(start + first, start + last) for first, last in coded["offset_mapping"]]
    return Encoded(
        np.array(tokens, dtype=np.int64), np.array(places, dtype=np.int64).reshape(-1, 2)
    )
