"""Lists of a model through an index of its item vectors."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from seqrec.ranking.model_ranker import ModelRanker
from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.exact import TopK
from seqrec.retrieval.index import VectorIndex

RESCORED_PER_LISTED = 10
"""Items of an index per listed one that the model scores again."""
MIN_RESCORED = 200


def rank_by_index(
    ranker: ModelRanker,
    index: VectorIndex,
    histories: Sequence[Int[np.ndarray, " T"]],
    k: int,
    *,
    exclude_seen: bool,
    allowed: AllowedItems | None,
    is_rescored: bool,
) -> TopK:
    """Return the lists of ``rank`` through an index of a model's item vectors.

    Scores are products of vectors, without a transition prior.

    Args:
        ranker: the model.
        index: the index.
        histories: items, oldest first.
        k: length of the lists.
        exclude_seen: exclude the items of the history.
        allowed: items that the list of each history may hold; None: all.
        is_rescored: where a transition prior adds to the products, fetch ten times as many
            items, at least two hundred, and list the best of them by the model's scores.
    """
    k = min(k, ranker.num_items)
    vectors, seen = ranker.embed_histories(histories), histories if exclude_seen else None
    if is_rescored and not ranker.scores_are_products:
        num_fetched = min(max(RESCORED_PER_LISTED * k, MIN_RESCORED), ranker.num_items)
        fetched = index.search(vectors, num_fetched, seen=seen, allowed=allowed).items
        candidates = [row[row >= 0].numpy() for row in fetched]
        only = AllowedItems(ranker.num_items, only=candidates)
        ranked = ranker.rank(histories, k, exclude_seen=exclude_seen, allowed=only)
    else:
        ranked = index.search(vectors, k, seen=seen, allowed=allowed)
    empty = [row for row, history in enumerate(histories) if not len(history)]
    if empty:
        left = None if allowed is None else allowed.select(empty)
        fallback = ranker.rank([histories[row] for row in empty], k, allowed=left)
        ranked.items[empty], ranked.scores[empty] = fallback
    return ranked
