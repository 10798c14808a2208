"""Lists of a model through an index of its item vectors."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int

from seqrec.ranking.list_rules import select_histories
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

    Scores are products of vectors, without a transition prior. Empty histories, and histories
    with their own lists of items, are ranked without the index.

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
    is_given = is_rescored and allowed is not None and allowed.only is not None
    is_asking = ranker.request is not None
    is_searched = np.array(
        [(is_asking or len(history) > 0) and not is_given for history in histories], dtype=bool
    )
    ranked = TopK(torch.full((len(histories), k), -1), torch.full((len(histories), k), -torch.inf))
    for rows, is_by_index in (
        (np.flatnonzero(is_searched), True),
        (np.flatnonzero(~is_searched), False),
    ):
        if not len(rows):
            continue
        chosen = select_histories(histories, rows)
        own = None if allowed is None else allowed.select(rows)
        if is_by_index:
            part = _search(ranker, index, chosen, k, exclude_seen, own, is_rescored)
        else:
            part = ranker.rank(chosen, k, exclude_seen=exclude_seen, allowed=own)
        ranked.items[rows], ranked.scores[rows] = part
    return ranked


def _search(
    ranker: ModelRanker,
    index: VectorIndex,
    histories: Sequence[Int[np.ndarray, " T"]],
    k: int,
    exclude_seen: bool,
    allowed: AllowedItems | None,
    is_rescored: bool,
) -> TopK:
    """Return the lists of histories that are not empty; arguments as ``rank_by_index``."""
    vectors, seen = ranker.embed_histories(histories), histories if exclude_seen else None
    if not is_rescored or ranker.scores_are_products:
        return index.search(vectors, k, seen=seen, allowed=allowed)
    num_fetched = min(max(RESCORED_PER_LISTED * k, MIN_RESCORED), ranker.num_items)
    fetched = index.search(vectors, num_fetched, seen=seen, allowed=allowed).items
    return ranker.rank_items(histories, k, [row[row >= 0].numpy() for row in fetched])
