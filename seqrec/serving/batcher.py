"""Dynamic batches: what waited while the last batch was computed is the next one."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

P = TypeVar("P")
R = TypeVar("R")


class QueueFullError(Exception):
    """Too much work waits already."""


class DeadlinePassedError(Exception):
    """A request was not answered in its time."""


class StoppedError(Exception):
    """The batcher has ended."""


@dataclass(eq=False)
class _Waiting(Generic[P, R]):
    """A piece of work in the queue."""

    payload: P
    size: int
    deadline: float
    """In seconds of ``time.monotonic``."""
    future: "asyncio.Future[R]"


class Batcher(Generic[P, R]):
    """Hands work from an event loop to one thread, in batches without a timer.

    An idle thread takes a piece of work at once. Work that arrives while a batch is computed waits
    and becomes the next batch, so batches grow with the load. Work past its deadline is not
    computed.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[P]], Sequence[R | Exception]],
        *,
        batch_size: int,
        queue_size: int,
    ) -> None:
        """Store the function that answers; ``start`` starts the thread.

        Args:
            answer: returns the result of every piece of work, or the exception that its
                submitter gets.
            batch_size: sizes of the work in a batch sum up to this at most, unless a single piece
                is larger.
            queue_size: sizes of the waiting work sum up to this at most.
        """
        self._answer = answer
        self._batch_size = batch_size
        self._queue_size = queue_size
        self._waiting: deque[_Waiting[P, R]] = deque()
        self._waiting_size = 0
        self._changed = threading.Condition()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="seqrec-batches", daemon=True)

    @property
    def depth(self) -> int:
        """The size of the work that waits."""
        return self._waiting_size

    def start(self) -> None:
        """Start the thread; to be called within the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """End the thread once everything that waits is answered."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()
        self._thread.join()

    async def submit(self, payload: P, size: int, seconds: float) -> R:
        """Return the result of a piece of work.

        Args:
            payload: the work.
            size: how much of a batch it takes.
            seconds: time within which it must be answered.

        Raises:
            QueueFullError: too much work waits.
            DeadlinePassedError: it was not answered in time.
            StoppedError: the batcher has ended.
        """
        work: _Waiting[P, R] = _Waiting(
            payload, size, time.monotonic() + seconds, self._loop.create_future()
        )
        with self._changed:
            if self._is_stopped:
                raise StoppedError
            if self._waiting and self._waiting_size + size > self._queue_size:
                raise QueueFullError
            self._waiting.append(work)
            self._waiting_size += size
            self._changed.notify()
        try:
            async with asyncio.timeout(seconds):
                return await work.future
        except TimeoutError as error:
            raise DeadlinePassedError from error

    def _take(self) -> list[_Waiting[P, R]]:
        """Return the next batch; nothing once the batcher has ended and the queue is empty."""
        with self._changed:
            while not self._waiting and not self._is_stopped:
                self._changed.wait()
            batch: list[_Waiting[P, R]] = []
            size = 0
            while self._waiting and (not batch or size + self._waiting[0].size <= self._batch_size):
                work = self._waiting.popleft()
                size += work.size
                batch.append(work)
            self._waiting_size -= size
        return batch

    def _run(self) -> None:
        while batch := self._take():
            now = time.monotonic()
            live = [work for work in batch if not work.future.done() and now < work.deadline]
            if not live:
                continue
            results: Sequence[R | Exception]
            try:
                results = self._answer([work.payload for work in live])
            except Exception as error:
                results = [error] * len(live)
            self._loop.call_soon_threadsafe(_deliver, live, results)


def _deliver(batch: Sequence[_Waiting[P, R]], results: Sequence[R | Exception]) -> None:
    """Hand results to those who wait for them; in the event loop."""
    for work, result in zip(batch, results, strict=True):
        if work.future.done():  # its deadline passed meanwhile
            continue
        if isinstance(result, Exception):
            work.future.set_exception(result)
        else:
            work.future.set_result(result)
