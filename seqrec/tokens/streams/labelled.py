"""Packed batches of labelled slates: every history once, and all slates for it at its end."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from seqrec.data.feedback.labels import Labels
from seqrec.tokens.streams.base import WindowStream
from seqrec.tokens.streams.batches import RewardBatch
from seqrec.tokens.streams.rated_packing import build_prompts, pack_rated
from seqrec.tokens.streams.ratings import rating_rows
from seqrec.tokens.tokenizer import ItemTokens


class LabelledStream(WindowStream):
    """Batches of the slates for some histories; seed and position determine every choice."""

    def __init__(
        self,
        labels: Labels,
        chosen: Int[np.ndarray, " H"],
        tokens: ItemTokens,
        *,
        levels: Sequence[float],
        row_length: int,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        """Lay the histories out.

        Args:
            labels: all labels of a file.
            chosen: the histories whose slates are used.
            tokens: from items to tokens.
            levels: ratings, in order, that have an embedding.
            row_length: items of a row.
            batch_size: rows of a batch, all processes together.
            seed: of the order.
            rank: number of this process; it gets every ``num_ranks``-th row of a batch.
            num_ranks: processes that train together.
        """
        self.labels = labels
        self.tokens = tokens
        starts, lengths = labels.histories.starts[chosen], labels.histories.lengths[chosen]
        parts = [slice(a, a + n) for a, n in zip(starts, lengths, strict=True)]
        rated = rating_rows(labels.ratings, levels)
        self._items, self._ratings, windows = build_prompts(
            [labels.histories.values[part] for part in parts],
            [rated[part] for part in parts],
            row_length,
        )
        window_of = np.full(len(labels.histories.lengths), -1, dtype=np.int64)
        window_of[chosen] = np.arange(len(chosen))
        window = window_of[labels.history_of]
        answers = np.flatnonzero(window >= 0)
        self._answers = answers[np.argsort(window[answers], kind="stable")]
        """The slates, grouped by window."""
        super().__init__(
            windows,
            np.bincount(window[answers], minlength=len(chosen)),
            row_length=row_length,
            batch_size=batch_size,
            seed=seed,
            rank=rank,
            num_ranks=num_ranks,
        )
        self._first = np.concatenate([[0], np.cumsum(self.num_predictions)])

    def _batch(self, rows: Sequence[Sequence[int]]) -> RewardBatch[np.ndarray]:
        packed = pack_rated(
            self._items, self._ratings, self.windows, rows, self.tokens, self.row_length
        )
        windows = [window for row in rows for window in row]
        ends = packed.placement.slot[np.cumsum(self.windows.lengths[windows]) - 1]
        of_windows = [
            self._answers[self._first[window] : self._first[window + 1]] for window in windows
        ]
        events = np.concatenate([np.empty(0, dtype=np.int64), *of_windows])
        place = np.repeat(ends, self.num_predictions[windows])
        labels = self.labels
        return RewardBatch(
            packed.input_ids,
            packed.ratings,
            packed.documents,
            place // self.row_length,
            self.tokens.blocks.last_position(place % self.row_length),
            labels.slates[events],
            labels.labels[events].astype(np.float32),
            events,
            float(len(events)),
        )
