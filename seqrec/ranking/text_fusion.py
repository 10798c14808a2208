"""A ranker whose scores also count how near an item's text is to the words of a request."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int

from seqrec.ranking.ranker import Ranker, ScoreTile

WEIGHT = 10.0
"""Nats of a cosine of 1, for scores that are logits; chosen on requests for tags of MovieLens-1M,
on the validation part."""
TAG_SHARE = 0.7
"""Weight of the cosine with the tags of an item beside that with its text, chosen likewise."""

Encode = Callable[[Sequence[str]], Float[np.ndarray, "N F"]]
"""Returns a vector of length 1 per text, zeros for an empty one."""


class TextFusion(Ranker):
    """The scores of a ranker plus ``weight`` times the cosine of item text and request.

    Late fusion: history and request are read apart, and their scores are added. After an empty
    history a recommender scores by interactions, whose logarithm counts here.
    """

    def __init__(
        self,
        ranker: Ranker,
        item_vectors: Float[np.ndarray, "I F"],
        request: Float[np.ndarray, " F"],
        weight: float = WEIGHT,
    ) -> None:
        """Set the parts.

        Args:
            ranker: scores items after a history.
            item_vectors: the vector of every item's text, of length 1 or 0.
            request: the vector of the request, of length 1 or 0.
            weight: factor of the cosine.
        """
        self.ranker = ranker
        self.name = ranker.name
        self.num_items = ranker.num_items
        self.tile_items, self.batch_size = ranker.tile_items, ranker.batch_size
        self._cosines = torch.from_numpy(item_vectors @ request).float() * weight

    def item_vectors(self) -> Float[np.ndarray, "I D"] | None:
        return self.ranker.item_vectors()

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        scores = self.ranker.score_tiles(histories)
        is_empty = torch.tensor([[len(history) == 0] for history in histories])

        def fused(start: int, stop: int) -> Float[torch.Tensor, "B tile"]:
            tile = scores(start, stop).float()
            counts = tile.clamp_min(0).log1p()
            own = torch.where(is_empty.to(tile.device), counts, tile)
            return own + self._cosines[start:stop].to(tile.device)

        return fused


def average_vectors(texts: Sequence[Sequence[str]], encode: Encode) -> Float[np.ndarray, "N F"]:
    """Return the direction of the mean vector of some texts for every row; zeros for no text."""
    distinct = sorted({text for one in texts for text in one})
    encoded = encode(distinct)
    vectors = dict(zip(distinct, encoded, strict=True))
    total = np.zeros((len(texts), encoded.shape[1]), dtype=np.float32)
    for row, one in enumerate(texts):
        for text in one:
            total[row] += vectors[text]
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
