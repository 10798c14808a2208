"""The items that are most similar to one item, by item vectors or by item-item scores."""

import numpy as np
import torch

from seqrec.errors import SeqRecError
from seqrec.ranking.ranker import Ranker
from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.exact import SeenItems, TopK, top_k


def rank_similar(ranker: Ranker, item: int, k: int, allowed: AllowedItems | None = None) -> TopK:
    """Return the ``k`` items nearest to an item, without itself, and their similarities.

    A system with item vectors compares by cosine. One that scores items by items takes the scores
    after a history of this item alone.

    Raises:
        SeqRecError: the system compares no items.
    """
    vectors = ranker.item_vectors()
    if vectors is None and not ranker.scores_items_by_items:
        raise SeqRecError(
            f"--similar-to: {ranker.name} does not compare items; name a model, item-knn, ease, "
            "transitions, als or nearest-text"
        )
    k = min(k, ranker.num_items)
    if vectors is None:
        return ranker.rank([np.array([item])], k, allowed=allowed)
    norms = np.maximum(np.linalg.norm(vectors, axis=1), np.finfo(np.float32).tiny)
    cosines = (vectors @ vectors[item]) / (norms * norms[item])
    scores = torch.from_numpy(cosines.astype(np.float32))[None]
    return top_k(
        lambda start, stop: scores[:, start:stop],
        1,
        ranker.num_items,
        k,
        seen=SeenItems.from_lists([[item]]),
        allowed=allowed,
        tile_items=ranker.num_items,
    )
