"""The rule that says when no item of a catalog is a good answer to a request in words."""

import re
from collections.abc import Sequence
from functools import cached_property

from seqrec.search.reading import RequestReading
from seqrec.search.words import STOPPED, normalise, split_words

LEAST_SIMILARITY = 0.24
"""Cosine of the nearest item's text below which a request has no good answer. One in a hundred of
the synthesised requests that validation of MovieLens-1M asks is below it."""
STRANGE_SIMILARITY = 0.45
"""The same for a request most of whose words stand in no text of the catalog."""
RUN = re.compile(r"\w+")
MIN_KNOWN = 0.5
MIN_WORDS = 2
"""A single word that no text holds may still be meant."""
INSTEAD = "the list follows the history alone"


class CatalogWords:
    """Tells which words stand in the texts of a catalog."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Store the texts of all items; their words are listed at the first question."""
        self._texts = texts

    def find_doubt(self, request: RequestReading, similarity: float) -> str | None:
        """Return why a request has no good answer; None if it may have one.

        It has none where it names no item and no condition, and its words are far from the text of
        every item: farther than any request that fits should be, or most of them stand in no text.

        Args:
            request: the reading.
            similarity: cosine of its soft words and the nearest item's text.
        """
        if not request.text or request.conditions or request.items:
            return None
        if similarity >= STRANGE_SIMILARITY:
            return None
        if similarity < LEAST_SIMILARITY:
            why = f"similarity of the nearest {similarity:.2f}, at least {LEAST_SIMILARITY:g}"
            return f'no good answer: no item is near "{request.text}" ({why}); {INSTEAD}'
        unknown = self._list_unknown(request.text)
        if not unknown:
            return None
        return f"no good answer: no item's text holds {', '.join(unknown)}; {INSTEAD}"

    def _list_unknown(self, text: str) -> list[str]:
        """Return the words that no text holds, if they are most of two or more."""
        words = [word.text for word in split_words(text) if normalise(word.text) not in STOPPED]
        distinct = list(dict.fromkeys(words))
        if len(words) < MIN_WORDS:
            return []
        unknown = [word for word in distinct if not self._has(word)]
        return unknown if len(unknown) > MIN_KNOWN * len(distinct) else []

    def _has(self, word: str) -> bool:
        return all(run in self._known for run in RUN.findall(word.casefold()))

    @cached_property
    def _known(self) -> frozenset[str]:
        """The words of all texts, in folded case; a word with a hyphen is two."""
        return frozenset(run for text in self._texts for run in RUN.findall(text.casefold()))
