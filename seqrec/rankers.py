"""Rankers: whatever scores a catalog after a history, by one interface.

Models in memory, model folders (``recommender.py``) and baselines all rank through here, and so
validation, evaluation and serving answer alike.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from seqrec.errors import SeqRecError
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.retrieval.exact import TILE_ITEMS, SeenItems, TopK, top_k
from seqrec.tokens.events import EventHistories, EventTokens
from seqrec.tokens.packing import (
    pack_blocks,
    pack_documents,
    pack_inputs,
    pack_rows,
    pack_times,
    place_windows,
)
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.tokens.windows import Windows

ENCODED_POSITIONS = 2048
"""Positions that a model reads at once: on a CPU, as many as stay in its caches."""

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


class ModelRanker(Ranker):
    """A model in memory, asked for the next item."""

    def __init__(
        self,
        name: str,
        model: SeqRecForNextItem,
        tokens: ItemTokens,
        events: EventTokens | None = None,
    ) -> None:
        """Hold the model.

        Args:
            name: what its results are called by.
            model: what is asked.
            tokens: of its items.
            events: of its grammar; None if it reads titles alone.
        """
        self.name = name
        self.model = model
        self.tokens = tokens
        self.events = events
        self.num_items = model.config.num_items
        self.encoded_positions = ENCODED_POSITIONS
        self.width: int = model.backbone.config.hidden_size

    @contextmanager
    def without_new_titles(self) -> Iterator[None]:
        """Meanwhile rank only the titles that training scores."""
        whole, self.num_items = self.num_items, self.model.num_learned
        try:
            yield
        finally:
            self.num_items = whole

    @torch.inference_mode()
    def encode(self, histories: Sequence[Int[np.ndarray, " T"]]) -> Float[Tensor, "B D"]:
        """The hidden state after each history, by which items are scored.

        Of a long history the last items are read, as many as the model was trained with. An
        empty one is read as a single unknown title.
        """
        max_length = self.model.config.max_length
        if self.events is None:
            unknown = np.array([-1])
            read = [history[-max_length:] for history in histories]
            read = [history if len(history) else unknown for history in read]
            lengths = np.array([len(history) for history in read])
            flat, times = np.concatenate(read), None
        else:
            told = self.events.flat(histories, max_length)
            flat, lengths = self.events.blocks(told.items, told.told), told.lengths
            times = None if told.times is None else self.events.block_times(told.times)
        windows = Windows(np.cumsum(lengths) - lengths, lengths, np.zeros_like(lengths))
        row_length = int(lengths.max())
        rows = pack_rows(lengths, row_length)
        num_rows = max(self.encoded_positions // (row_length * self.block_size), 1)
        states = [
            self._encode_rows(flat, times, windows, rows[start : start + num_rows], row_length)
            for start in range(0, len(rows), num_rows)
        ]
        place = torch.from_numpy(np.argsort([history for row in rows for history in row]))
        return torch.cat(states)[place.to(self.model.device)]

    @property
    def block_size(self) -> int:
        """Tokens of an event."""
        return 1 if self.events is None else self.events.block_size

    def _encode_rows(
        self,
        flat: Int[np.ndarray, " N"] | Int[np.ndarray, "N E"],
        times: Int64[np.ndarray, "N E 2"] | None,
        windows: Windows,
        rows: Sequence[Sequence[int]],
        row_length: int,
    ) -> Float[Tensor, "B D"]:
        """The states after the windows of some rows, of items or of blocks of tokens and times."""
        placement, shape = place_windows(windows, rows, row_length), (len(rows), row_length)
        if self.events is None:
            packed = list(pack_inputs(flat, placement, self.tokens, shape))
        else:
            blocks, pad = flat[placement.source], self.tokens.pad_token_id
            packed = [
                pack_blocks(blocks, placement.place, shape, pad),
                pack_documents(placement, shape, self.block_size),
            ]
        if times is not None:
            packed.append(pack_times(times[placement.source], placement.place, shape))
        return self.model.document_states(
            *(torch.from_numpy(part).to(self.model.device) for part in packed)
        )

    @torch.inference_mode()
    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        """The model's scores after each history."""
        score = self.model.scorer(self.encode(histories), self._last_items(histories))
        return torch.inference_mode()(score)

    def _last_items(self, histories: Sequence[Int[np.ndarray, " T"]]) -> Int[Tensor, "B S"] | None:
        """What the model's memory is asked with, if it has one."""
        if self.model.memory is None:
            return None
        num_steps = self.model.memory.max_steps
        if self.events is not None and isinstance(histories, EventHistories):
            histories = self.events.condensed(histories)
        asked = torch.full((len(histories), num_steps), -1)
        for row, history in enumerate(histories):
            last = history[-num_steps:][::-1]
            asked[row, : len(last)] = torch.from_numpy(last.astype(np.int64))
        return asked.to(self.model.device)
