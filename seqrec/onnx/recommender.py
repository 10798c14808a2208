"""A recommender whose lists are computed by ONNX Runtime."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.errors import refuse_unreadable
from seqrec.onnx.catalog_search import CatalogSearch
from seqrec.onnx.inputs import group_by_length, pad, tokenize
from seqrec.ranking.list_rules import select_histories
from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.exact import TopK


class OnnxRecommender(Recommender):
    """Ranks as the recommender that it is made from, with states from a graph of its model.

    A small catalog is searched by a graph, too, unless lists are restricted. The item vectors and
    the transition prior are the model's. Plans and likelihoods of event features, and histories
    that a request in words follows, are computed by PyTorch.
    """

    def __init__(self, own: Recommender, session: Any) -> None:
        """Store the recommender and the graph.

        Args:
            own: the recommender of the model.
            session: ONNX Runtime's session of the graph.
        """
        super().__init__(
            own.name,
            own.model,
            own.tokens,
            own.items,
            own.catalog_fingerprint,
            own.events,
            own.folder,
        )
        self.session = session
        self._search: CatalogSearch | None = None
        vectors = self.item_vectors()
        is_small = self.num_items <= self.tile_items
        if self.scores_are_products and is_small and np.isfinite(vectors).all():
            self._search = CatalogSearch(vectors)

    def rank(
        self,
        histories: Sequence[Int[np.ndarray, " T"]],
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: AllowedItems | None = None,
    ) -> TopK:
        search, is_whole = self._search, allowed is None and self.request is None
        is_empty = np.array([len(history) == 0 for history in histories], dtype=bool)
        if search is None or search.num_items != self.num_items or not is_whole or is_empty.all():
            return super().rank(histories, k, exclude_seen=exclude_seen, allowed=allowed)
        if is_empty.any():  # their lists are of the most popular items
            parts = [
                self.rank(
                    select_histories(histories, np.flatnonzero(rows)), k, exclude_seen=exclude_seen
                )
                for rows in (is_empty, ~is_empty)
            ]
            order = torch.from_numpy(np.argsort(~is_empty, kind="stable").argsort())
            return TopK(*(torch.cat(both)[order] for both in zip(*parts, strict=True)))
        found = []
        for start in range(0, len(histories), self.batch_size):
            batch = histories[start : start + self.batch_size]
            states = self.encode(batch).numpy()
            if not np.isfinite(states).all():  # PyTorch's search says what is broken
                return super().rank(histories, k, exclude_seen=exclude_seen)
            seen = list(batch) if exclude_seen else None
            found.append(search.find(states, min(k, self.num_items), seen))
        return TopK(*(torch.from_numpy(np.concatenate(part)) for part in zip(*found, strict=True)))

    def _encode(self, histories: Sequence[Int[np.ndarray, " T"]]) -> Float[Tensor, "B D"]:
        if self.request is not None:
            return super()._encode(histories)
        tokens = tokenize(self, histories)
        lengths = np.array([len(row) for row in tokens.input_ids])
        states = np.empty((len(lengths), self.model.config.state_width), dtype=np.float32)
        for rows in group_by_length(lengths, self.encoded_positions):
            with refuse_unreadable(f"{self.name}: the graph", "export again"):
                inputs = pad(tokens, rows, self.tokens.pad_token_id)
                (states[rows],) = self.session.run(None, inputs)
        return torch.from_numpy(states)
