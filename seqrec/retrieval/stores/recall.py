"""Recall of a store's searches against exact ones, with the filters that users search with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.exact import TILE_ITEMS, SeenItems, top_k
from seqrec.retrieval.index import recall_against_exact
from seqrec.retrieval.stores.opening import LiveStore

PLAIN, UNSEEN, FILTERED, BOTH = "plain", "minus seen", "with a genre", "minus seen, with a genre"


@dataclass(frozen=True)
class Sample:
    """Queries of real users, and what they would filter by."""

    queries: Float[np.ndarray, "Q D"]
    seen: Sequence[Int[np.ndarray, " T"]] | None
    """Items of each user's history; None if the queries are no users."""
    column: str | None
    """Column of lists to filter by; None: the rows have none."""
    values: Sequence[str]
    """A value of the column for each query."""
    masks: Mapping[str, Bool[np.ndarray, " I"]]
    """The items of each value."""


def measure_recall(
    live: LiveStore,
    sample: Sample,
    ids: Sequence[str],
    vectors: Float[np.ndarray, "I D"],
    k: int,
) -> dict[str, float]:
    """Return the share of the exact best ``k`` items that a store's searches list.

    Args:
        live: the store.
        sample: the queries.
        ids: id of every item.
        vectors: vector of every item.
        k: length of the lists.
    """
    kinds = {PLAIN: (False, False)}
    if sample.seen is not None:
        kinds[UNSEEN] = True, False
    if sample.column is not None:
        kinds[FILTERED] = False, True
        if sample.seen is not None:
            kinds[BOTH] = True, True
    row_by_id = {id: row for row, id in enumerate(ids)}
    recalls = {}
    for name, (is_unseen, is_filtered) in kinds.items():
        seen = sample.seen if is_unseen else None
        exact = _rank_exactly(sample, vectors, k, seen, is_filtered)
        found = torch.full(exact.shape, -1)
        for row, query in enumerate(sample.queries):
            exclude = None if seen is None else [[ids[item] for item in np.unique(seen[row])]]
            where = {sample.column: sample.values[row]} if is_filtered and sample.column else None
            (listed,) = live.search(query[None], k, exclude, where).ids
            found[row, : len(listed)] = torch.tensor([row_by_id[id] for id in listed])
        recalls[name] = recall_against_exact(found, exact)
    return recalls


def _rank_exactly(
    sample: Sample,
    vectors: Float[np.ndarray, "I D"],
    k: int,
    seen: Sequence[Int[np.ndarray, " T"]] | None,
    is_filtered: bool,
) -> Int[torch.Tensor, "Q K"]:
    """Return the exact lists of the sample."""
    lists = []
    for row, query in enumerate(sample.queries):
        products = torch.from_numpy(vectors @ query)[None]
        mask = sample.masks[sample.values[row]] if is_filtered else None
        ranked = top_k(
            partial(_slice, products),
            1,
            len(vectors),
            k,
            seen=None if seen is None else SeenItems.from_lists([seen[row]]),
            allowed=None if mask is None else AllowedItems(len(vectors), shared=mask),
            tile_items=TILE_ITEMS,
        )
        lists.append(ranked.items)
    return torch.cat(lists) if lists else torch.full((0, k), -1)


def _slice(scores: Float[torch.Tensor, "B I"], start: int, stop: int) -> Float[torch.Tensor, "B T"]:
    return scores[:, start:stop]
