"""The floor of floors: the titles most watched, whoever asks."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int

from seqrec.data.histories import Histories
from seqrec.data.splits import TRAIN
from seqrec.recommender import Ranker, ScoreTile


def item_counts(histories: Histories, num_items: int) -> Int[np.ndarray, " I"]:
    """How often each item occurs in the training part."""
    return np.bincount(histories.items[histories.split == TRAIN], minlength=num_items)


class Popularity(Ranker):
    """Every history is answered with the items most frequent in training."""

    name = "popularity"

    def __init__(self, histories: Histories, num_items: int) -> None:
        self.num_items = num_items
        counts: Float[np.ndarray, " I"] = item_counts(histories, num_items).astype(np.float32)
        self._counts = torch.from_numpy(counts)

    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """The items' counts, the same for every history."""
        return lambda start, stop: self._counts[start:stop].expand(len(histories), -1)
