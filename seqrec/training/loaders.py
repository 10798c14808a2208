"""Batches for the Trainer."""

import itertools
import queue
import threading
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from seqrec.data.histories import Blocks
from seqrec.data.prepared import TargetMode
from seqrec.evaluation.protocol import Queries, queries_of
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.streams.base import StreamPosition
from seqrec.training.tensors import as_tensors

PREFETCHED = 8
"""Batches made ahead."""

T = TypeVar("T")


class Stream(Protocol):
    """Batches of an epoch from any place of it on; every choice follows from seed and place."""

    row_length: int
    num_batches: int

    def batches(self, place: StreamPosition) -> Iterator[tuple[StreamPosition, Any]]: ...


class PackedLoader:
    """One epoch after the other, packed in the background; it knows where it is."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.place = StreamPosition()

    def __len__(self) -> int:
        return self.stream.num_batches

    def __iter__(self) -> Iterator[Any]:
        for place, batch in in_background(self.stream.batches(self.place), PREFETCHED):
            self.place = place
            yield as_tensors(batch)

    def endless(self) -> Iterator[Any]:
        """Batches of one epoch after the other, from the first on, wherever training is."""
        for epoch in itertools.count():
            for _, batch in self.stream.batches(StreamPosition(epoch)):
                yield as_tensors(batch)

    def state_dict(self) -> dict[str, int]:
        return self.place._asdict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.place = StreamPosition(**state)


def in_background(items: Iterator[T], num_ahead: int) -> Iterator[T]:
    """The same items, made by a thread that is up to ``num_ahead`` of them ahead.

    What the thread raises is raised here; when nobody asks any more, it ends.
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
    """Batches that are not learned from, but judged by."""

    num_queries: int
    """Of all processes together; 0: nobody judges."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class QueryLoader:
    """The queries of a split, block by block; every process gets its share of each block's."""

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
        """Count the queries of the validation.

        Args:
            blocks: the log.
            targets: how they are asked for.
            memory_rows: a log of at most so many interactions is read once and kept.
            rank: which of the processes this is; it gets every ``num_ranks``-th query.
            num_ranks: processes that train together.
            events: of an event grammar, whose columns come with the log.
        """
        self.blocks = blocks
        self.targets = targets
        self.rank = rank
        self.num_ranks = num_ranks
        self.events = events
        self.is_kept = int(blocks.num_rows.sum()) <= memory_rows
        self._kept: list[Queries] = []
        self.num_queries = sum(len(queries.users) for queries in self._read())
        """Of all processes together."""

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[Queries]:
        for queries in self.of_all_processes():
            yield queries.every(self.num_ranks, start=self.rank)

    def of_all_processes(self) -> Iterator[Queries]:
        """All queries, whichever process would get them."""
        yield from self._kept or self._read()

    def _read(self) -> Iterator[Queries]:
        for block in range(len(self.blocks)):
            log = self.blocks.read([block])
            queries = queries_of(log, "validation", self.targets)
            if self.events is not None:
                queries = queries.with_events(log, self.events)
            if self.is_kept:
                self._kept.append(queries)
            yield queries
