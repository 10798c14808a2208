"""Dynamic batches: what waited while the last batch was computed is the next one."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

P = TypeVar("P")
R = TypeVar("R")

RECENT_SHARE = 0.3
"""Weight of the last batch in the mean duration of recent ones."""
CERTAIN_SHARE = 0.5
"""Share of its time within which work must be expected to be answered; durations vary."""
QUICK_SECONDS = 0.05
"""Mean duration up to which batches hold up the event loop. Two threads would take the
interpreter's lock from each other at every operation, which costs more than it saves."""


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
    is_long: bool


class Batcher(Generic[P, R]):
    """Hands work of an event loop to a function, in batches without a timer.

    An idle batcher takes a piece of work at once. Work that arrives while a batch is computed waits
    and becomes the next batch, so batches grow with the load. Quick batches are computed in the
    event loop, long ones in a thread, never two at once. Work that is not expected to be answered
    in time is refused at once; work past its deadline is not computed.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[P]], Sequence[R | Exception]],
        *,
        batch_size: int,
        queue_size: int,
        quick_seconds: float | None = None,
    ) -> None:
        """Store the function that answers; ``start`` starts the batcher.

        Args:
            answer: returns the result of every piece of work, or the exception that its
                submitter gets.
            batch_size: sizes of the work in a batch sum up to this at most, unless a single piece
                is larger.
            queue_size: sizes of the waiting work sum up to this at most.
            quick_seconds: mean duration up to which batches are computed in the event loop.
        """
        self._answer = answer
        self._batch_size = batch_size
        self._queue_size = queue_size
        self._quick_seconds = QUICK_SECONDS if quick_seconds is None else quick_seconds
        self._waiting: deque[_Waiting[P, R]] = deque()
        self._waiting_size = 0
        self._running_size = 0
        self._batch_seconds = 0.0
        self._is_busy = False
        """A batch is computed, or about to be."""
        self._is_stopped = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="seqrec-batches")

    @property
    def depth(self) -> int:
        """The size of the work that waits."""
        return self._waiting_size

    def can_answer(self, size: int, seconds: float) -> bool:
        """Return True if work that comes after work of this size can be expected to be in time.

        Always after nothing, so that a batch that took long does not refuse all that follows.

        Args:
            size: size of the work that is not answered yet, as far as the caller knows.
            seconds: time within which the new work must be answered.
        """
        size = max(size, self._waiting_size + self._running_size)
        if size == 0:
            return True
        if size >= self._queue_size + self._batch_size:
            return False
        num_batches = 2 + (size - self._running_size) // self._batch_size  # with the running one
        return num_batches * self._batch_seconds <= CERTAIN_SHARE * seconds

    def start(self) -> None:
        """Start; to be called within the event loop."""
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Refuse new work, and return once everything that waits is answered."""
        self._is_stopped = True
        while self._is_busy:
            await asyncio.sleep(0.01)
        self._thread.shutdown()

    async def submit(self, payload: P, size: int, seconds: float, *, is_long: bool = False) -> R:
        """Return the result of a piece of work.

        Args:
            payload: the work.
            size: how much of a batch it takes.
            seconds: time within which it must be answered.
            is_long: it may take long, and says nothing about other batches.

        Raises:
            QueueFullError: too much work waits, or it takes too long.
            DeadlinePassedError: it was not answered in time.
            StoppedError: the batcher has ended.
        """
        if self._is_stopped:
            raise StoppedError
        if self._waiting and self._waiting_size + size > self._queue_size:
            raise QueueFullError
        if not self.can_answer(0, seconds):
            raise QueueFullError
        deadline = time.monotonic() + seconds
        work: _Waiting[P, R] = _Waiting(
            payload, size, deadline, self._loop.create_future(), is_long
        )
        self._waiting.append(work)
        self._waiting_size += size
        if not self._is_busy:
            self._is_busy = True
            # Two turns of the loop, so that requests which have arrived with this one join it.
            self._loop.call_soon(self._loop.call_soon, self._run_next)
        try:
            async with asyncio.timeout(seconds):
                return await work.future
        except TimeoutError as error:
            raise DeadlinePassedError from error

    async def run_in_thread(self, function: Callable[[], object]) -> None:
        """Call a function in the thread of long batches; it is no work, and says nothing of any."""
        await self._loop.run_in_executor(self._thread, function)

    def _run_next(self) -> None:
        """Compute the next batch, here or in the thread."""
        batch = self._take()
        is_long = any(work.is_long for work in batch)
        if not batch:
            self._is_busy = False
        elif self._batch_seconds <= self._quick_seconds and not is_long:
            self._finish(batch, self._compute(batch))
        else:
            task = self._loop.run_in_executor(self._thread, self._compute, batch)
            task.add_done_callback(lambda done: self._finish(batch, done.result()))

    def _take(self) -> list[_Waiting[P, R]]:
        """Return the next batch without what is late; nothing once the queue is empty."""
        batch: list[_Waiting[P, R]] = []
        size, now = 0, time.monotonic()
        while self._waiting and (not batch or size + self._waiting[0].size <= self._batch_size):
            work = self._waiting.popleft()
            self._waiting_size -= work.size
            if not work.future.done() and now < work.deadline:
                size += work.size
                batch.append(work)
        self._running_size = size
        return batch

    def _compute(self, batch: Sequence[_Waiting[P, R]]) -> Sequence[R | Exception]:
        """Return the results of a batch, and measure how long it took."""
        started = time.monotonic()
        results: Sequence[R | Exception]
        try:
            results = self._answer([work.payload for work in batch])
        except Exception as error:
            results = [error] * len(batch)
        if not any(work.is_long for work in batch):
            self._batch_seconds += RECENT_SHARE * (time.monotonic() - started - self._batch_seconds)
        return results

    def _finish(self, batch: Sequence[_Waiting[P, R]], results: Sequence[R | Exception]) -> None:
        """Hand results to those who wait for them, and go on with the next batch."""
        for work, result in zip(batch, results, strict=True):
            if work.future.done():  # its deadline passed meanwhile
                continue
            if isinstance(result, Exception):
                work.future.set_exception(result)
            else:
                work.future.set_result(result)
        self._running_size = 0
        # Answers are sent, and what has arrived is read, before the next batch holds up the loop.
        self._loop.call_soon(self._loop.call_soon, self._run_next)
