"""What the soft words of a request add to listed items, whole and in parts that are left out."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np
import torch
from jaxtyping import Float, Int

from seqrec.ranking.ranker import Ranker
from seqrec.ranking.served import Reading, Served
from seqrec.ranking.text_requests import TextSearch
from seqrec.search.reading import RequestReading
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
        request: RequestReading,
        history: Sequence[Event],
        items: Int[np.ndarray, " K"],
        reading: Reading,
    ) -> None:
        """Score the items with the words, without them, and without each part.

        Args:
            search: of the catalog.
            request: the reading, whose soft words may be empty.
            history: ids or events, oldest first.
            items: rows of the catalog.
            reading: conditions and plans.
        """
        self.text = request.text
        self.parts = split_parts(request.text)
        self.columns = {item: column for column, item in enumerate(items.tolist())}
        if not self.parts:
            return
        left = [[*self.parts[:at], *self.parts[at + 1 :]] for at in range(len(self.parts))]
        texts = [request.text, *map(" ".join, left)]
        vectors = search.encode_requests([replace(request, text=one) for one in texts])
        rankers = [search.ask(vector).ranker for vector in (np.zeros_like(vectors[0]), *vectors)]
        scored = [_score(search.served, one, history, reading) for one in rankers]
        plain, whole, *others = scored
        self._effect = _exceed(whole - plain)[items]
        parts = [_exceed(whole - other)[items] for other in others]
        self._effects = np.stack(parts if len(parts) > 1 else [self._effect])

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
    """Return the scores of all items; those of counts, after an empty history, as logarithms."""
    given = served.read([list(history)], reading)
    scores = ranker.score_tiles(given.histories)(0, ranker.num_items)[0].float()
    if not len(given.items[0]) and scores.min() >= 0:
        scores = scores.log1p()
    return torch.as_tensor(scores).cpu().numpy()


def _exceed(gains: Float[np.ndarray, " I"]) -> Float[np.ndarray, " I"]:
    return gains - gains.mean()
