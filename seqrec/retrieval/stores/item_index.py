"""A store as an index of the items of a catalog: rows of the catalog in place of ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.exact import TILE_ITEMS, SeenItems, TopK, best_first, top_k
from seqrec.retrieval.stores.opening import LiveStore

MOST_EXCLUDED = 10_000
"""Largest number of excluded ids that are sent with a query."""


@dataclass(frozen=True)
class StoreIndex:
    """Searches a store's version, whose ids are those of the catalog."""

    live: LiveStore
    item_ids: Sequence[str]
    vectors: Float[np.ndarray, "I D"]
    """The vectors of the catalog, for lists that the store cannot filter."""

    @cached_property
    def _row_by_id(self) -> dict[str, int]:
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    def search(
        self,
        queries: Float[np.ndarray, "B D"],
        k: int,
        *,
        seen: Sequence[np.ndarray | Sequence[int]] | None = None,
        allowed: AllowedItems | None = None,
    ) -> TopK:
        """Return the best ``k`` unseen and allowed items by the store.

        The store filters by ids that lists may not hold. Where these are too many, and for lists
        that it leaves short, products are computed here.
        """
        seen = [()] * len(queries) if seen is None else seen
        excluded = [np.unique(np.asarray(one, dtype=np.int64)) for one in seen]
        if allowed is not None:
            excluded = [self._exclude(one, allowed, row) for row, one in enumerate(excluded)]
        items = torch.full((len(queries), k), -1)
        scores = torch.full((len(queries), k), -torch.inf)
        for row, unlisted in enumerate(excluded):
            unlisted = unlisted[(unlisted >= 0) & (unlisted < len(self.item_ids))]
            ranked = self._rank_in_store(queries[row : row + 1], unlisted, k)
            if (ranked.items >= 0).sum() < min(k, len(self.item_ids) - len(unlisted)):
                ranked = self._rank_exactly(queries[row], unlisted, k)
            items[row], scores[row] = ranked.items[0], ranked.scores[0]
        return TopK(items, scores)

    def _rank_in_store(self, query: Float[np.ndarray, "1 D"], unlisted: np.ndarray, k: int) -> TopK:
        """Return the list of a query; an empty one if too many items are unlisted."""
        if len(unlisted) > min(MOST_EXCLUDED, len(self.item_ids) - 1):
            return best_first(torch.empty(1, 0, dtype=torch.long), torch.empty(1, 0), k)
        hits = self.live.search(query, k, [[self.item_ids[item] for item in unlisted]])
        found = torch.tensor([[self._row_by_id[id] for id in hits.ids[0]]], dtype=torch.long)
        return best_first(found, torch.tensor(hits.scores), k)

    def _exclude(self, seen: np.ndarray, allowed: AllowedItems, row: int) -> np.ndarray:
        """Return the seen items of a query and all that its list may not hold."""
        mask = allowed.select([row]).get_mask(1, 0, len(self.item_ids)).numpy()[0]
        return np.union1d(seen, np.flatnonzero(~mask))

    def _rank_exactly(self, query: Float[np.ndarray, " D"], unlisted: np.ndarray, k: int) -> TopK:
        products = torch.from_numpy(self.vectors @ query)[None]
        return top_k(
            lambda start, stop: products[:, start:stop],
            1,
            len(self.item_ids),
            k,
            seen=SeenItems.from_lists([unlisted]),
            tile_items=TILE_ITEMS,
        )
