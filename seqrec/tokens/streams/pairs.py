"""Packed batches of pairs: every history once, with the candidates of all its pairs.

A causal decoder that reads a history also reads all of its prefixes. Pairs of one user whose
histories are prefixes of each other therefore share a window, at different positions of it.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from seqrec.data.feedback.answers import NO_ITEM
from seqrec.data.feedback.pairs import Pairs
from seqrec.tokens.streams.base import WindowStream
from seqrec.tokens.streams.batches import PairBatch
from seqrec.tokens.streams.packing import pack_inputs
from seqrec.tokens.streams.pair_windows import PairWindows
from seqrec.tokens.streams.placement import place_windows
from seqrec.tokens.tokenizer import ItemTokens

MAX_CANDIDATES = 64
"""Candidates in one row of the head; further candidates of a position get further rows."""


class PairStream(WindowStream):
    """Batches of some of a file's pairs; seed and position determine every choice."""

    def __init__(
        self,
        pairs: Pairs,
        chosen: Int[np.ndarray, " P"],
        tokens: ItemTokens,
        *,
        row_length: int,
        batch_size: int,
        ignore_index: int,
        has_labels: bool = True,
        seed: int = 0,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        """Lay the windows out.

        Args:
            pairs: all pairs of a file.
            chosen: numbers of the pairs to use.
            tokens: from items to tokens.
            row_length: items of a row, and of a history that are read.
            batch_size: rows of a batch, all processes together.
            ignore_index: the label of positions that are not learned.
            has_labels: use the next item within a history as a label.
            seed: of the order.
            rank: number of this process; it gets every ``num_ranks``-th row of a batch.
            num_ranks: processes that train together.
        """
        self.layout = layout = PairWindows.of(pairs, chosen, row_length)
        counts = np.bincount(layout.pair_window, minlength=len(layout.windows.starts))
        super().__init__(
            layout.windows,
            counts,
            row_length=row_length,
            batch_size=batch_size,
            seed=seed,
            rank=rank,
            num_ranks=num_ranks,
        )
        self.pairs = pairs
        self.chosen = chosen
        self.tokens = tokens
        self.ignore_index = ignore_index
        self.has_labels = has_labels
        is_learned = pairs.histories.values < pairs.num_items
        self._learned_before = np.concatenate([[0], np.cumsum(is_learned)])
        self._unrelated = pairs.unrelated()
        self._by_window = np.argsort(layout.pair_window, kind="stable")
        self._first_of = np.concatenate([[0], np.cumsum(counts)])

    def _part(self, rows: Sequence[Sequence[int]]) -> PairBatch[np.ndarray]:
        """Return this process's part of a batch, with its share of the whole batch's weights."""
        batch = self._batch(rows[self.rank :: self.num_ranks])
        if self.num_ranks == 1:
            return batch
        places = self._places(rows)
        num_labels = self._num_labels([window for row in rows for window in row])
        return batch._replace(
            total_weight=float(num_labels if self.has_labels else 0) / self.num_ranks,
            total_pair_weight=float(self._weight(places).sum()) / self.num_ranks,
        )

    def _num_labels(self, windows: Sequence[int]) -> int:
        """The learned items of some windows after the first of each."""
        starts, lengths = (part[windows] for part in self.layout.windows[:2])
        before = self._learned_before
        return int((before[starts + lengths] - before[starts + 1]).sum())

    def _places(self, rows: Sequence[Sequence[int]]) -> Int[np.ndarray, " P"]:
        """Return the pairs of the windows of some rows, as indices in ``chosen``."""
        parts = [
            self._by_window[self._first_of[window] : self._first_of[window + 1]]
            for row in rows
            for window in row
        ]
        return np.concatenate([np.empty(0, dtype=np.int64), *parts])

    def _weight(self, places: Int[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
        return self.pairs.weight[self.chosen[places]].astype(np.float32)

    def _batch(self, rows: Sequence[Sequence[int]]) -> PairBatch[np.ndarray]:
        shape = (max(len(rows), 1), self.row_length)
        windows = self.layout.windows
        placement = place_windows(windows, rows, self.row_length)
        items = self.pairs.histories.values
        input_ids, documents = pack_inputs(items, placement, self.tokens, shape)
        labels = np.full(input_ids.shape, self.ignore_index, dtype=np.int64)
        flat = [window for row in rows for window in row]
        if self.has_labels and flat:
            ends = np.cumsum(windows.lengths[flat]) - 1
            is_inside = np.ones(len(placement.source), dtype=bool)
            is_inside[ends] = False
            read_at = self.tokens.blocks.last_position(placement.slot[is_inside])
            following = items[placement.source[is_inside] + 1]
            is_learned = following < self.pairs.num_items
            labels.flat[read_at] = np.where(is_learned, following, self.ignore_index)
        label_weight = (labels != self.ignore_index).astype(np.float32)
        places = self._places(rows)
        row_of = np.zeros(len(windows.starts), dtype=np.int64)
        first_column = np.zeros(len(windows.starts), dtype=np.int64)
        for number, row in enumerate(rows):
            row_of[row] = number
            lengths = windows.lengths[row]
            first_column[row] = np.cumsum(lengths) - lengths
        window = self.layout.pair_window[places]
        column = first_column[window] + self.layout.pair_column[places]
        candidates = self._candidates(places, row_of[window], column)
        weight = self._weight(places)
        return PairBatch(
            input_ids,
            documents,
            labels,
            label_weight,
            float(label_weight.sum()),
            **candidates,
            pairs=self.chosen[places],
            pair_weight=weight,
            total_pair_weight=float(weight.sum()),
            targets=label_weight.ravel().nonzero()[0],
        )

    def _candidates(
        self,
        places: Int[np.ndarray, " P"],
        rows: Int[np.ndarray, " P"],
        columns: Int[np.ndarray, " P"],
    ) -> dict[str, np.ndarray]:
        """Return the candidates by field; pairs at one position share its rows of the head."""
        numbers = self.chosen[places]
        chosen, rejected = self.pairs.chosen[numbers], self.pairs.rejected[numbers]
        unrelated = self._unrelated[numbers]
        num_pairs, num_rejected, length = rejected.shape
        wanted = np.concatenate(
            [chosen, rejected.reshape(num_pairs, num_rejected * length), unrelated], axis=1
        )
        pair, slot = np.nonzero(wanted != NO_ITEM)
        position = rows * self.row_length + columns
        order = np.argsort(position[pair], kind="stable")
        pair, slot = pair[order], slot[order]
        _, first, count = np.unique(position[pair], return_index=True, return_counts=True)
        first_of = np.repeat(first, count)
        within = np.arange(len(pair)) - first_of
        answer = pair * wanted.shape[1] + slot // length
        is_start = np.zeros(len(pair), dtype=np.int64)
        is_start[np.unique(answer, return_index=True)[1]] = 1
        number = np.cumsum(is_start) - 1
        per_row = max(MAX_CANDIDATES // length, 1)  # an answer's items stand in one row
        key = position[pair] * (len(pair) + 1) + (number - number[first_of]) // per_row
        keys, start, head_row = np.unique(key, return_index=True, return_inverse=True)
        column = within - within[start][head_row]
        width = int(column.max(initial=0)) + 1
        candidates = np.zeros((len(keys), width), dtype=np.int64)
        candidates[head_row, column] = wanted[pair, slot]
        at = np.full(wanted.shape, NO_ITEM, dtype=np.int64)
        at[pair, slot] = head_row * width + column
        head_position = keys // (len(pair) + 1)
        is_next = self.pairs.is_next[numbers]
        next_of = dict(zip(position[is_next].tolist(), wanted[is_next, 0].tolist(), strict=True))
        next_items = np.array(
            [next_of.get(at_, NO_ITEM) for at_ in head_position.tolist()], np.int64
        )
        return {
            "rows": head_position // self.row_length,
            "columns": self.tokens.blocks.last_position(head_position % self.row_length),
            "candidates": candidates,
            "next_items": next_items,
            "chosen_at": at[:, :length],
            "rejected_at": at[:, length : length * (num_rejected + 1)].reshape(rejected.shape),
            "unrelated_at": at[:, length * (num_rejected + 1) :],
        }
