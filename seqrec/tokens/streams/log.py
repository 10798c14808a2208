"""Packed batches of a log of any size, streamed from disk in a new order every epoch.

An epoch goes through the blocks of the log in random order, a pool of them at a time; the windows
of a pool are shuffled, packed and cut into batches. A log that fits in one pool is shuffled whole.
The data of objectives other than next-item prediction stay in memory (``WindowStream``).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from seqrec.data.histories import Blocks, Histories
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.sessions import shorten_events
from seqrec.tokens.events.times import TIME_COLUMN
from seqrec.tokens.streams.base import StreamPosition, shuffle_batches
from seqrec.tokens.streams.batches import PackedBatch
from seqrec.tokens.streams.event_packing import pack_events
from seqrec.tokens.streams.examples import Examples, is_part_start, shorten_log
from seqrec.tokens.streams.packing import pack_batch
from seqrec.tokens.streams.placement import SHORTEST_LONG_ROW, fit_row_length, pack_rows
from seqrec.tokens.streams.replay import Replay
from seqrec.tokens.streams.windows import Windows
from seqrec.tokens.tokenizer import ItemTokens

MIN_POOL_BATCHES = 4


class Pool(NamedTuple):
    """Some blocks of the log, and the number of the epoch's batches made from them."""

    blocks: Int[np.ndarray, " P"]
    num_batches: int


class PackedStream:
    """Batches of windows of training histories; seed and position determine every choice."""

    def __init__(
        self,
        blocks: Blocks,
        tokens: ItemTokens,
        build_windows: Callable[[Int[np.ndarray, " U"], Int[np.ndarray, " U"]], Windows],
        *,
        weight: str | None,
        row_length: int,
        batch_size: int,
        pool_rows: int,
        ignore_index: int,
        seed: int,
        rank: int = 0,
        num_ranks: int = 1,
        events: EventTokens | None = None,
        has_sources: bool = False,
        replay: Replay | None = None,
    ) -> None:
        """Survey the log in one pass; none of it stays in memory.

        Args:
            blocks: the log.
            tokens: from items to tokens.
            build_windows: from starts and ends of histories to their windows.
            weight: the column with the weight of every interaction as a target.
            row_length: most items of a row; long rows are cut to what the windows fill.
            batch_size: rows of a batch, all processes together.
            pool_rows: approximate number of interactions held in memory at once; at least
                those of a few batches.
            ignore_index: the label of positions that are not learned.
            seed: of the order.
            rank: number of this process; it gets every ``num_ranks``-th row of a batch.
            num_ranks: processes that train together.
            events: event tokens of a grammar, whose columns come with the log; None: items alone.
            has_sources: give batches the row of the log at every position.
            replay: which windows are trained on, by the times of the log; None: all.

        Raises:
            SeqRecError: no training targets, none of the new days, or a weight that is missing or
                negative.
        """
        self.blocks = blocks
        self.tokens = tokens
        self.build_windows = build_windows
        self.weight = weight
        self.events = events
        self.batch_size = batch_size
        self.ignore_index = ignore_index
        self.seed = seed
        self.rank = rank
        self.num_ranks = num_ranks
        self.has_sources = has_sources
        self.replay = replay
        self.item_counts = np.zeros(tokens.num_items, dtype=np.int64)
        """Training interactions of every item."""
        self.num_targets = 0
        """Targets of an epoch."""
        self.event_counts: dict[str, int] = {}
        """Training interactions, and how many of them are merged, dropped and read."""
        self.row_items = fit_row_length(row_length, self._longest_window(row_length))
        self.row_length = self.row_items * (tokens if events is None else events).block_size
        """Positions of a row."""
        self._packed_rows = np.zeros(len(blocks), dtype=np.int64)
        largest_weight, latest = 0.0, 0
        for block in range(len(blocks)):
            histories = blocks.read([block])
            in_training = histories.split == TRAIN
            self.item_counts += np.bincount(
                histories.items[in_training], minlength=tokens.num_items
            )
            weight_of = self._label_weight(histories)[in_training]
            largest_weight = max(largest_weight, weight_of.max(initial=0))
            examples = self._examples([block], histories)
            windows = examples.windows
            self.num_targets += int((windows.lengths - windows.num_context).sum())
            self._packed_rows[block] = len(pack_rows(examples.windows.lengths, self.row_items))
            self._count_events(histories, examples)
            if replay is not None:
                latest = max(latest, histories.columns[TIME_COLUMN][in_training].max(initial=0))
        if replay is not None and latest < replay.since:
            raise SeqRecError(
                "data.replay.since: no interaction of the training part is as late; name an "
                "earlier date"
            )
        if not self._packed_rows.any():
            raise SeqRecError(
                "nothing to train on: no user has two interactions in the training part"
            )
        if not largest_weight:
            raise SeqRecError(f"objective.weight: column {weight!r} is 0 in all training rows")
        per_packed_row = blocks.num_rows.sum() / self._packed_rows.sum()
        self.pool_rows = max(pool_rows, MIN_POOL_BATCHES * batch_size * per_packed_row)
        self.num_batches = int(-(-self._packed_rows.sum() // batch_size))
        """Batches of an epoch, the same in every epoch and process."""

    def batches(
        self, position: StreamPosition
    ) -> Iterator[tuple[StreamPosition, PackedBatch[np.ndarray]]]:
        """Yield the rest of an epoch from a position on: the position after each batch, and it."""
        pools = self._pools(position.epoch)
        for number in range(position.pool, len(pools)):
            pool = pools[number]
            chosen = pool.blocks.tolist()
            examples = self._examples(chosen, self.blocks.read(chosen))
            generator = np.random.default_rng((self.seed, position.epoch, number))
            batches = shuffle_batches(
                examples.windows.lengths, self.row_items, pool.num_batches, generator
            )
            is_resumed = number == position.pool
            for batch in range(position.batch if is_resumed else 0, pool.num_batches):
                after = StreamPosition(position.epoch, number, batch + 1)
                if after.batch == pool.num_batches:
                    after = StreamPosition(position.epoch, number + 1)
                if after.pool == len(pools):
                    after = StreamPosition(position.epoch + 1)
                here = StreamPosition(position.epoch, number, batch)
                yield after, self._batch(examples, batches[batch], here)
            del examples, batches  # before the next pool is read

    def in_order(self, first: int = 0) -> Iterator[PackedBatch[np.ndarray]]:
        """Yield the batches of the whole log, block by block, unshuffled, from ``first`` on."""
        number = 0
        for block, num_rows in enumerate(self._packed_rows.tolist()):
            num_batches = -(-num_rows // self.batch_size)
            number += num_batches
            if number <= first:
                continue
            examples = self._examples([block], self.blocks.read([block]))
            rows = pack_rows(examples.windows.lengths, self.row_items)
            skipped = max(first - (number - num_batches), 0) * self.batch_size
            for start in range(skipped, len(rows), self.batch_size):
                here = StreamPosition(pool=block, batch=start // self.batch_size)
                yield self._batch(examples, rows[start : start + self.batch_size], here)

    @property
    def num_in_order(self) -> int:
        """Batches of ``in_order``."""
        return int((-(-self._packed_rows // self.batch_size)).sum())

    def _pools(self, epoch: int) -> list[Pool]:
        """Return the blocks of an epoch in random order, cut into pools of similar size.

        Each has its share of the epoch's batches, and at least one.
        """
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.blocks))
        before = np.cumsum(self.blocks.num_rows[order]) - self.blocks.num_rows[order]
        num_pools = int(np.ceil(self.blocks.num_rows.sum() / self.pool_rows))
        pool_of = before * num_pools // self.blocks.num_rows.sum()
        done = np.cumsum(self._packed_rows[order]) * self.num_batches // self._packed_rows.sum()
        pools, start, num_batches = [], 0, 0
        for end in [*(np.flatnonzero(np.diff(pool_of)) + 1), len(order)]:
            if done[end - 1] > num_batches:
                pools.append(Pool(order[start:end], int(done[end - 1]) - num_batches))
                start, num_batches = end, int(done[end - 1])
        if start < len(order):
            last = pools.pop()
            pools.append(Pool(np.append(last.blocks, order[start:]), last.num_batches))
        return pools

    def _batch(
        self, examples: Examples, rows: list[list[int]], position: StreamPosition
    ) -> PackedBatch[np.ndarray]:
        """Return this process's part of a batch."""
        own = rows[self.rank :: self.num_ranks]
        if self.events is None:
            batch = pack_batch(
                examples,
                own,
                self.tokens,
                row_length=self.row_items,
                ignore_index=self.ignore_index,
            )
        else:
            batch = pack_events(
                examples,
                own,
                self.events,
                np.random.default_rng((self.seed, *position, self.rank)),
                row_length=self.row_items,
                ignore_index=self.ignore_index,
            )
        if self.num_ranks == 1:
            return batch
        windows = np.array([window for row in rows for window in row], dtype=np.int64)
        if self.events is not None:
            num_features = examples.num_features(windows, self.events) / self.num_ranks
            batch = batch._replace(num_features=num_features)
        return batch._replace(total_weight=examples.total_weight(windows) / self.num_ranks)

    def _examples(self, blocks: Sequence[int], histories: Histories) -> Examples:
        """Return the training part of histories: the rows before each user's held-out ones."""
        codes = targets = times = None
        if self.events is not None:
            codes = self.events.coder.codes(histories)
            if self.events.grammar.shortens_histories:
                histories, codes, targets = shorten_log(histories, codes, self.events.grammar)
            if self.events.grammar.times is not None:
                times = histories.columns[TIME_COLUMN]
        num_before = np.concatenate([[0], np.cumsum(histories.split == TRAIN)])
        starts = histories.offsets[:-1]
        ends = starts + np.diff(num_before[histories.offsets])
        rows = None
        if self.has_sources:
            first = np.cumsum(self.blocks.num_rows) - self.blocks.num_rows
            counts = self.blocks.num_rows[blocks]
            before = np.cumsum(counts) - counts
            rows = np.arange(counts.sum()) + np.repeat(first[blocks] - before, counts)
        windows = self.build_windows(starts, ends)
        if self.replay is not None:
            windows = self.replay.choose(windows, histories.items, histories.columns[TIME_COLUMN])
        weight = self._label_weight(histories)
        return Examples(histories.items, weight, windows, codes, targets, rows, times)

    def _longest_window(self, row_length: int) -> int:
        """Return the items of the longest window, or the row length if it is short anyway."""
        if row_length <= SHORTEST_LONG_ROW:
            return row_length
        blocks = range(len(self.blocks))
        surveyed = (self._examples([block], self.blocks.read([block])) for block in blocks)
        return max((int(one.windows.lengths.max(initial=0)) for one in surveyed), default=0)

    def _count_events(self, histories: Histories, examples: Examples) -> None:
        """Add the counts of a block's training interactions to ``event_counts``."""
        if self.events is None:
            return
        in_training = histories.split == TRAIN
        left = shorten_events(
            self.events.grammar, self.events.coder.codes(histories), is_part_start(histories)
        )
        starts, lengths, _ = examples.windows
        edges = np.zeros(len(examples.items) + 1, dtype=np.int64)
        np.add.at(edges, starts, 1)
        np.add.at(edges, starts + lengths + 1, -1)
        for name, count in (
            ("interactions", in_training.sum()),
            ("merged", (left.is_merged & in_training).sum()),
            ("dropped", (left.is_dropped & in_training).sum()),
            ("events_read", (np.cumsum(edges) > 0).sum()),
        ):
            self.event_counts[name] = self.event_counts.get(name, 0) + int(count)

    def _label_weight(self, histories: Histories) -> Float[np.ndarray, " N"]:
        if self.weight is None:
            return np.ones(len(histories.items), dtype=np.float32)
        weight = histories.columns[self.weight].astype(np.float32)
        in_training = weight[histories.split == TRAIN]
        if not np.all(np.isfinite(in_training) & (in_training >= 0)):
            raise SeqRecError(
                f"objective.weight: column {self.weight!r} holds empty or negative values; "
                "a weight is 0 or more"
            )
        return weight
