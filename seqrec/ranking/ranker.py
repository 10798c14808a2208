"""Rankers: whatever scores a catalog after a history, by one interface.

Models in memory, model folders (``recommender.py``) and baselines all rank through here, and so
validation, evaluation and serving answer alike.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.errors import SeqRecError
from seqrec.retrieval.exact import TILE_ITEMS, SeenItems, TopK, top_k

MIN_TILE_ITEMS = 1024
SCORE_BYTES = 4

ScoreTile = Callable[[int, int], Float[Tensor, "B tile"]]


class Ranker(ABC):
    """Whatever can score the items of a catalog after a history."""

    name: str
    num_items: int
    tile_items = TILE_ITEMS
    """Items scored at once."""
    batch_size = 512
    """Histories scored at once."""
    notes: Sequence[str] = ()
    """What a reader of its results should know."""

    def limit_memory(self, memory_mb: float | None) -> None:
        """Score so little at once that two arrays of scores fit into ``memory_mb`` MiB, if given.

        Tiles shrink first, then batches, down to one history and a small tile; lists stay the
        same.
        """
        if memory_mb is None:
            return
        if not 0 < memory_mb < float("inf"):
            raise SeqRecError(f"--memory-mb {memory_mb:g}: a number of MiB, more than 0")
        num_scores = int(memory_mb * 2**20 / (2 * SCORE_BYTES))
        self.tile_items = min(max(num_scores // self.batch_size, MIN_TILE_ITEMS), TILE_ITEMS)
        self.batch_size = min(max(num_scores // self.tile_items, 1), self.batch_size)

    @abstractmethod
    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """A function from a range of items, ``start`` to ``stop``, to their scores."""

    def rank(
        self, histories: Sequence[Int[np.ndarray, " T"]], k: int, *, exclude_seen: bool = True
    ) -> TopK:
        """The ``k`` best items after each history, over the full catalog, exactly.

        Args:
            histories: items, oldest first; each may be empty.
            k: length of the lists.
            exclude_seen: leave out what stands in the history.

        Returns:
            On the CPU, best first; lists end with item -1 where a history leaves fewer items,
            and with the catalog.
        """
        k = min(k, self.num_items)
        batches = []
        for start in range(0, len(histories), self.batch_size):
            batch = histories[start : start + self.batch_size]
            seen = SeenItems.from_lists(batch) if exclude_seen else None
            tile_items = min(self.tile_items, self.num_items)
            batches.append(
                top_k(
                    self.score_tiles(batch),
                    len(batch),
                    self.num_items,
                    k,
                    seen=seen,
                    tile_items=tile_items,
                )
            )
        if not batches:
            return TopK(torch.empty(0, k, dtype=torch.long), torch.empty(0, k))
        return TopK(
            torch.cat([batch.items.cpu() for batch in batches]),
            torch.cat([batch.scores.cpu() for batch in batches]),
        )
