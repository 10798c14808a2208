"""The effect of a request's soft words on listed items, whole and in parts that are left out."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np
from jaxtyping import Float, Int

from seqrec.ranking.ranker import Ranker
from seqrec.ranking.served import Reading, Served
from seqrec.ranking.text_requests import ReadRequest, TextSearch
from seqrec.search.words import STOPPED, normalise, split_words
from seqrec.tokens.events.requests import Event

MAX_PARTS = 8
"""Most parts of a request; words of a longer one stay together."""
MIN_EFFECT_NATS = 1.0
"""Soft words that add less to an item are not said to have led to it."""
MIN_PART_NATS = 0.5
"""The same for a part of them, which is left out while the others stay."""


class SoftParts:
    """The parts of the soft words of a request, and what each adds to some items.

    An effect is the score with the words minus that without them, over its mean for the catalog.
    """

    def __init__(
        self,
        search: TextSearch,
        read: ReadRequest,
        history: Sequence[Event],
        items: Int[np.ndarray, " K"],
        reading: Reading,
    ) -> None:
        """Score the items with the words, without them, and without each part.

        Args:
            search: of the catalog.
            read: the request; in doubt its words count for nothing.
            history: ids or events, oldest first.
            items: rows of the catalog.
            reading: conditions and plans, and the weight of the words.
        """
        self.text = read.request.text
        self.parts = [] if read.doubt else split_parts(self.text)
        self.columns = {item: column for column, item in enumerate(items.tolist())}
        if not self.parts:
            return
        weight, reading = reading.guidance, reading.without_words()
        plain = _score(search.served, search.served.ranker, history, reading)
        if not len(history):
            plain = np.log1p(np.maximum(plain, 0))  # which are counts of interactions
        whole = _score(search.served, read.served.ranker, history, reading)
        self._effect = _exceed(whole - plain)[items]
        self._effects = self._effect[None]
        if len(self.parts) > 1:
            left = [[*self.parts[:at], *self.parts[at + 1 :]] for at in range(len(self.parts))]
            asked = [replace(read.request, text=" ".join(words)) for words in left]
            vectors = search.encode_requests(asked)
            rankers = [search.ask(vector, weight).ranker for vector in vectors]
            others = [_score(search.served, one, history, reading) for one in rankers]
            self._effects = np.stack([_exceed(whole - other)[items] for other in others])

    def list_moving(self, item: int) -> list[str]:
        """Return the parts that led to an item, in quotes, those that add most first.

        They are all words together where these add much and none of the parts does alone.
        """
        column = self.columns[item]
        if not self.parts or self._effect[column] < MIN_EFFECT_NATS:
            return []
        effects = self._effects[:, column]
        order = np.argsort(-effects, kind="stable").tolist()
        moving = [self.parts[at] for at in order if effects[at] >= MIN_PART_NATS]
        return [f'"{part}"' for part in moving or [self.text]]


def split_parts(text: str) -> list[str]:
    """Return the words of a text that carry a wish, those of a long text some in a row together."""
    words = [word.text for word in split_words(text) if normalise(word.text) not in STOPPED]
    size = ceil(len(words) / MAX_PARTS)
    return [" ".join(words[at : at + size]) for at in range(0, len(words), size or 1)]


def _score(
    served: Served, ranker: Ranker, history: Sequence[Event], reading: Reading
) -> Float[np.ndarray, " I"]:
    """Return the scores of all items after a history."""
    given = served.read([list(history)], reading)
    scores = ranker.score_tiles(given.histories)(0, ranker.num_items)[0]
    return scores.float().cpu().numpy()


def _exceed(gains: Float[np.ndarray, " I"]) -> Float[np.ndarray, " I"]:
    return gains - gains.mean()
