"""The interface of rankers, which score a catalog after a history.

Models in memory, model folders (``recommender.py``) and baselines all rank through it, so
validation, evaluation and serving agree.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.errors import SeqRecError
from seqrec.retrieval.allowed_items import AllowedItems
from seqrec.retrieval.exact import TILE_ITEMS, SeenItems, TopK, best_first, top_k

MIN_TILE_ITEMS = 1024
MAX_MEMORY_MB = 1 << 30
SCORE_BYTES = 4
FEW_SHARE = 8
"""Lists of candidates shorter than the catalog by this factor are scored by themselves."""
GIVEN_AT_ONCE = 1 << 16
"""Scores of given items that are computed at once."""

ScoreTile = Callable[[int, int], Float[Tensor, "B tile"]]


class Ranker(ABC):
    """A system that scores the items of a catalog after a history.

    A ranker does not change once it is made, so several threads may rank with it. Other limits and
    names belong to copies, which share the weights.
    """

    name: str
    num_items: int
    is_refit = False
    """The validation part was trained on, too."""
    tile_items = TILE_ITEMS
    """Number of items scored at once."""
    batch_size = 512
    """Number of histories scored at once."""
    scores_items_by_items = False
    """True if the scores after a history of one item say how similar items are to it."""
    notes: Sequence[str] = ()
    """Caveats to print with its results."""

    def with_name(self, name: str) -> Self:
        """Return the same ranker under another name."""
        renamed = copy(self)
        renamed.name = name
        return renamed

    def with_memory_limit(self, memory_mb: float | None) -> Self:
        """Return a ranker whose two arrays of scores fit into ``memory_mb`` MiB.

        Tiles shrink first, then batches, down to one history and a small tile. The ranked lists
        are the same. None: no limit.
        """
        if memory_mb is None:
            return self
        if not 0 < memory_mb < float("inf"):
            raise SeqRecError(f"--memory-mb {memory_mb:g}: a number of MiB, more than 0")
        num_scores = int(min(memory_mb, MAX_MEMORY_MB) * 2**20 / (2 * SCORE_BYTES))
        limited = copy(self)
        limited.tile_items = min(max(num_scores // self.batch_size, MIN_TILE_ITEMS), TILE_ITEMS)
        limited.batch_size = min(max(num_scores // limited.tile_items, 1), self.batch_size)
        return limited

    @abstractmethod
    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """Return a function from a range of items, ``start`` to ``stop``, to their scores."""

    def score_items(
        self, histories: Sequence[Int[np.ndarray, " T"]], items: Int[Tensor, "B C"]
    ) -> Float[Tensor, "B C"]:
        """Return the scores of given items, other ones after every history.

        Equal to those of ``score_tiles``, up to the rounding of sums in another order.
        """
        score_tile, found = self.score_tiles(histories), torch.empty(items.shape)
        for start in range(0, self.num_items, self.tile_items):
            stop = min(start + self.tile_items, self.num_items)
            is_here = (items >= start) & (items < stop)
            tile = score_tile(start, stop).cpu().float()
            found = tile.gather(1, (items - start).where(is_here, 0)).where(is_here, found)
        return found

    def item_vectors(self) -> Float[np.ndarray, "I D"] | None:
        """Return a vector for every item, close for similar items; None if it has none."""
        return None

    def rank(
        self,
        histories: Sequence[Int[np.ndarray, " T"]],
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: AllowedItems | None = None,
    ) -> TopK:
        """Return the exact ``k`` best items of the full catalog after each history.

        Args:
            histories: items, oldest first; each may be empty.
            k: length of the lists.
            exclude_seen: exclude the items of the history.
            allowed: items that the list of each history may hold; None: all.

        Returns:
            Lists on the CPU, best first, no longer than the catalog, padded with item -1 where
            fewer items are unseen and allowed.
        """
        k = min(k, self.num_items)
        if allowed is not None and allowed.only is not None:
            longest = max(map(len, allowed.only), default=0)
            if FEW_SHARE * longest <= self.num_items:
                candidates = allowed.list_items(histories if exclude_seen else None)
                return self.rank_items(histories, k, candidates)
        batches = []
        for start in range(0, len(histories), self.batch_size):
            batch = histories[start : start + self.batch_size]
            seen = SeenItems.from_lists(batch) if exclude_seen else None
            rows = range(start, start + len(batch))
            tile_items = min(self.tile_items, self.num_items)
            batches.append(
                top_k(
                    self.score_tiles(batch),
                    len(batch),
                    self.num_items,
                    k,
                    seen=seen,
                    allowed=None if allowed is None else allowed.select(rows),
                    tile_items=tile_items,
                )
            )
        if not batches:
            return TopK(torch.empty(0, k, dtype=torch.long), torch.empty(0, k))
        return TopK(
            torch.cat([batch.items.cpu() for batch in batches]),
            torch.cat([batch.scores.cpu() for batch in batches]),
        )

    def rank_items(
        self,
        histories: Sequence[Int[np.ndarray, " T"]],
        k: int,
        candidates: Sequence[Int[np.ndarray, " C"]],
    ) -> TopK:
        """Return the best of some items for each history, by their scores alone.

        Args:
            histories: items, oldest first; each may be empty.
            k: length of the lists.
            candidates: the items of every history, without repetition.
        """
        num_items = max(map(len, candidates), default=0)
        items = torch.full((len(candidates), num_items), -1)
        for row, listed in enumerate(candidates):
            items[row, : len(listed)] = torch.from_numpy(listed)
        scores = torch.full(items.shape, -torch.inf)
        num_rows = min(max(GIVEN_AT_ONCE // max(num_items, 1), 1), self.batch_size)
        for start in range(0, len(items) if num_items else 0, num_rows):
            rows = slice(start, start + num_rows)
            found = self.score_items(histories[rows], items[rows].clamp_min(0))
            if found.isnan().any():
                raise SeqRecError(
                    "NaN among the scores: the model is broken, use another checkpoint"
                )
            scores[rows] = found.cpu().float().masked_fill(items[rows] < 0, -torch.inf)
        return best_first(items, scores, k)
