"""Batches for the Trainer."""

import itertools
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar

from seqrec.data.histories import Blocks
from seqrec.data.prepared import TargetMode
from seqrec.evaluation.protocol import Queries, build_queries
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.streams.base import StreamPosition
from seqrec.training.tensors import as_tensors

PREFETCHED = 8
"""Largest number of batches prepared ahead of training."""

T = TypeVar("T")


class Stream(Protocol):
    """Batches of an epoch from any position on; seed and position determine every random choice."""

    row_length: int
    num_batches: int

    def batches(self, position: StreamPosition) -> Iterator[tuple[StreamPosition, Any]]: ...


DIVISORS = ("total_weight", "total_pair_weight", "num_features")
"""Fields of batches by which sums over targets are divided."""


def join_steps(
    batches: Iterable[tuple[StreamPosition, Any]], batches_per_step: int
) -> Iterator[tuple[StreamPosition, Any]]:
    """Yield batches with divisors such that the mean of the losses of a step is its loss.

    The sums of a step's batches are divided by the step's whole weight: a target counts the same
    in a batch of few targets as in one of many. The Trainer divides by ``batches_per_step``, also
    in a last step of fewer batches.
    """
    if batches_per_step == 1:
        yield from batches
        return
    batches = iter(batches)
    while step := list(itertools.islice(batches, batches_per_step)):
        first = step[0][1]
        sums = {
            key: sum(getattr(batch, key) for _, batch in step) / batches_per_step
            for key in DIVISORS
            if hasattr(first, key)
        }
        for position, batch in step:
            yield position, batch._replace(**sums)


class PackedLoader:
    """Epochs of batches, packed in the background; the position can be saved and restored."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.position = StreamPosition()
        self.batches_per_step = 1
        """Batches whose gradients a step adds up; their losses are parts of the step's loss."""

    def __len__(self) -> int:
        return self.stream.num_batches

    def __iter__(self) -> Iterator[Any]:
        batches = join_steps(self.stream.batches(self.position), self.batches_per_step)
        for position, batch in in_background(batches, PREFETCHED):
            self.position = position
            yield as_tensors(batch)

    def endless(self) -> Iterator[Any]:
        """Yield batches of one epoch after the other from the first on, whatever the position."""
        for epoch in itertools.count():
            for _, batch in self.stream.batches(StreamPosition(epoch)):
                yield as_tensors(batch)

    def state_dict(self) -> dict[str, int]:
        return self.position._asdict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = StreamPosition(**state)


def in_background(items: Iterator[T], num_ahead: int) -> Iterator[T]:
    """Yield the items from a thread that works at most ``num_ahead`` of them ahead.

    Errors of the thread are raised here; the thread ends when the iterator is closed.
    """
    ready: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(num_ahead)
    is_over = threading.Event()

    def put(*message: object) -> bool:
        while not is_over.is_set():
            try:
                ready.put(message, timeout=0.1)  # type: ignore[arg-type]
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(True, item):
                    return
            put(False, None)
        except BaseException as error:
            put(False, error)

    thread = threading.Thread(target=work, name="seqrec-packing", daemon=True)
    thread.start()
    try:
        while True:
            is_item, item = ready.get()
            if is_item:
                yield item  # type: ignore[misc]
            elif item is None:
                return
            else:
                raise item  # type: ignore[misc]
    finally:
        is_over.set()
        thread.join()


class Validation(Protocol):
    """Batches that evaluate the model and are not trained on."""

    num_queries: int
    """Queries of all processes together; 0 without validation."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class QueryLoader:
    """The validation queries, block by block; every process gets its share of each block."""

    def __init__(
        self,
        blocks: Blocks,
        targets: TargetMode,
        *,
        memory_rows: int,
        rank: int = 0,
        num_ranks: int = 1,
        events: EventTokens | None = None,
    ) -> None:
        """Count the validation queries.

        Args:
            blocks: blocks of the log.
            targets: kind of the targets of a user.
            memory_rows: largest number of interactions of a log whose queries stay in memory.
            rank: rank of this process; it gets every ``num_ranks``-th query.
            num_ranks: number of processes.
            events: the event grammar, whose columns are read with the log.
        """
        self.blocks = blocks
        self.targets = targets
        self.rank = rank
        self.num_ranks = num_ranks
        self.events = events
        self.is_cached = int(blocks.num_rows.sum()) <= memory_rows
        self._cached: list[Queries] = []
        self.num_queries = sum(len(queries.users) for queries in self._read())
        """Queries of all processes together."""

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[Queries]:
        for queries in self.iterate_all():
            yield queries.every(self.num_ranks, start=self.rank)

    def iterate_all(self) -> Iterator[Queries]:
        """Yield the queries of all processes, block by block."""
        yield from self._cached or self._read()

    def _read(self) -> Iterator[Queries]:
        for block in range(len(self.blocks)):
            log = self.blocks.read([block])
            queries = build_queries(log, "validation", self.targets)
            if self.events is not None:
                queries = queries.with_events(log, self.events)
            if self.is_cached:
                self._cached.append(queries)
            yield queries
