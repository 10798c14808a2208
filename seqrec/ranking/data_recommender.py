"""A recommender whose histories are rows of data with another catalog."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int

from seqrec.data.item_mapping import ItemMapping
from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.exact import TopK, best_first
from seqrec.retrieval.index import VectorIndex
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.histories import EventHistories, map_items


class DataRecommender(Recommender):
    """Ranks after histories that hold items of the data, matched to the model's by id.

    Items that the model does not know are skipped in histories. Its item vectors, ids and
    fingerprints are the model's own.
    """

    def __init__(
        self,
        own: Recommender,
        mapping: ItemMapping,
        events: EventTokens | None,
        *,
        lists_data_items: bool,
    ) -> None:
        """Store the model and the mapping.

        Args:
            own: the recommender of the model's own catalog.
            mapping: its items and those of the data.
            events: event tokens that code the features of the data's items.
            lists_data_items: lists hold items of the data, and only these; False: items of the
                model, with all of its catalog as candidates.
        """
        super().__init__(own.name, own.model, own.tokens, own.items, own.catalog_fingerprint)
        self.own = own
        self.mapping = mapping
        self.events = events
        self.lists_data_items = lists_data_items

    def with_memory_limit(self, memory_mb: float | None) -> Self:
        limited = super().with_memory_limit(memory_mb)
        if limited is not self:
            limited.own = self.own.with_memory_limit(memory_mb)
        return limited

    def rank(
        self,
        histories: Sequence[Int[np.ndarray, " T"]],
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: AllowedItems | None = None,
    ) -> TopK:
        """Return the lists of ``Ranker.rank``; ``allowed`` holds items of the model."""
        mapped, candidates = self.model_histories(histories), self._restrict(allowed)
        ranked = self.own.rank(mapped, k, exclude_seen=exclude_seen, allowed=candidates)
        return self._answer(ranked, k)

    def rank_by_index(
        self,
        index: VectorIndex,
        histories: Sequence[Int[np.ndarray, " T"]],
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: AllowedItems | None = None,
        is_rescored: bool = False,
    ) -> TopK:
        mapped, candidates = self.model_histories(histories), self._restrict(allowed)
        ranked = self.own.rank_by_index(
            index,
            mapped,
            k,
            exclude_seen=exclude_seen,
            allowed=candidates,
            is_rescored=is_rescored,
        )
        return self._answer(ranked, k)

    def add_plans(self, histories: Sequence[Int[np.ndarray, " T"]]) -> EventHistories:
        planned = self.own.add_plans(self.model_histories(histories))
        if isinstance(histories, EventHistories):
            return replace(histories, conditions=planned.conditions)
        return planned

    def embed_histories(
        self, histories: Sequence[Int[np.ndarray, " T"]]
    ) -> Float[np.ndarray, "B D"]:
        return self.own.embed_histories(self.model_histories(histories))

    def model_histories(
        self, histories: Sequence[Int[np.ndarray, " T"]]
    ) -> Sequence[Int[np.ndarray, " T"]]:
        return map_items(histories, self.mapping.to_model)

    def _restrict(self, allowed: AllowedItems | None) -> AllowedItems | None:
        """Return the candidates: of those that are allowed, the ones that may be listed."""
        if not self.lists_data_items or not self.mapping.missing_ids:
            return allowed
        in_data = self.mapping.to_data >= 0
        if allowed is None:
            return AllowedItems(self.own.num_items, in_data)
        shared = in_data if allowed.shared is None else in_data & allowed.shared
        return replace(allowed, shared=shared)

    def _answer(self, ranked: TopK, k: int) -> TopK:
        """Return lists of the model in items of the data."""
        if not self.lists_data_items:
            return ranked
        to_data = torch.from_numpy(self.mapping.to_data)
        items = torch.where(ranked.items >= 0, to_data[ranked.items], -1)
        return best_first(items, ranked.scores.masked_fill(items < 0, -torch.inf), k)
