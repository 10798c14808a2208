"""Vectors of texts from the words that they share: a truncated singular value decomposition."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from seqrec.drafts.interaction_vectors import factorize_interactions
from seqrec.search.words import normalise, split_words

FEWEST_LETTERS = 3
FEWEST_TEXTS = 2
LARGEST_SHARE = 0.25
"""Words of more texts than this share say nothing of one."""


def factorize_words(texts: Sequence[str], *, width: int, seed: int = 0) -> Float[np.ndarray, "N F"]:
    """Return a vector for each text, near to those of texts that share rare words with it.

    Texts without a shared word get zeros.
    """
    words = [{normalise(word.text) for word in split_words(text)} for text in texts]
    counts = Counter(word for own in words for word in own if len(word) >= FEWEST_LETTERS)
    most = max(LARGEST_SHARE * len(texts), FEWEST_TEXTS)
    known = [word for word, count in counts.items() if FEWEST_TEXTS <= count <= most]
    if not known:
        return np.zeros((len(texts), 1))
    numbers = {word: number for number, word in enumerate(sorted(known))}
    pairs = [
        (numbers[word], row) for row, own in enumerate(words) for word in own if word in numbers
    ]
    found = np.array(sorted(pairs), dtype=np.int64)
    return factorize_interactions(
        found[:, 0], found[:, 1], len(numbers), len(texts), width=width, seed=seed
    )
