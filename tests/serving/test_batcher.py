"""Batches without a model: sizes, refusals, deadlines, errors and the end."""

import asyncio
import threading
import time

import pytest

from seqrec.serving.batcher import (
    Batcher,
    DeadlinePassedError,
    QueueFullError,
    StoppedError,
)

IN_THE_THREAD = -1.0


class Recorder:
    """Doubles numbers, batch by batch, once it may."""

    def __init__(self):
        self.batches = []
        self.may_run = threading.Event()
        self.has_begun = threading.Event()

    def answer(self, numbers):
        self.has_begun.set()
        assert self.may_run.wait(10)
        self.batches.append(list(numbers))
        return [ValueError("odd") if number % 2 else 2 * number for number in numbers]


async def start(recorder, first=0, **sizes):
    """Start a batcher whose thread computes a first batch, and return both."""
    settings = {"batch_size": 4, "queue_size": 6, "quick_seconds": IN_THE_THREAD} | sizes
    batcher = Batcher(recorder.answer, **settings)
    batcher.start()
    running = asyncio.create_task(batcher.submit(first, 1, 10))
    await asyncio.to_thread(recorder.has_begun.wait, 10)
    return batcher, running


def test_what_waits_during_a_batch_is_the_next_one():
    async def run():
        recorder = Recorder()
        batcher, running = await start(recorder)
        waiting = [asyncio.create_task(batcher.submit(n, 1, 10)) for n in (2, 4, 6, 8, 10)]
        await asyncio.sleep(0)
        assert batcher.depth == 5
        recorder.may_run.set()
        assert await asyncio.gather(running, *waiting) == [0, 4, 8, 12, 16, 20]
        await batcher.stop()
        assert recorder.batches == [[0], [2, 4, 6, 8], [10]]

    asyncio.run(run())


def test_work_counts_by_its_size_and_large_work_runs_alone():
    async def run():
        recorder = Recorder()
        batcher, running = await start(recorder, queue_size=100)
        sizes = [(2, 3), (4, 2), (6, 9), (8, 1)]
        waiting = [asyncio.create_task(batcher.submit(n, size, 10)) for n, size in sizes]
        await asyncio.sleep(0)
        recorder.may_run.set()
        await asyncio.gather(running, *waiting)
        await batcher.stop()
        assert recorder.batches == [[0], [2], [4], [6], [8]]

    asyncio.run(run())


def test_a_full_queue_refuses_and_takes_again_once_it_is_shorter():
    async def run():
        recorder = Recorder()
        batcher, running = await start(recorder, queue_size=2)
        waiting = [asyncio.create_task(batcher.submit(n, 1, 10)) for n in (2, 4)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await batcher.submit(6, 1, 10)
        recorder.may_run.set()
        await asyncio.gather(running, *waiting)
        assert await batcher.submit(6, 1, 10) == 12
        await batcher.stop()

    asyncio.run(run())


def test_late_work_is_given_up_and_not_computed():
    async def run():
        recorder = Recorder()
        batcher, running = await start(recorder)
        with pytest.raises(DeadlinePassedError):
            await batcher.submit(2, 1, 0.02)
        recorder.may_run.set()
        await running
        assert await batcher.submit(4, 1, 10) == 8
        await batcher.stop()
        assert recorder.batches == [[0], [4]]

    asyncio.run(run())


def test_an_error_reaches_its_own_submitter_only():
    async def run():
        recorder = Recorder()
        recorder.may_run.set()
        batcher, running = await start(recorder)
        await running
        found = await asyncio.gather(
            *(batcher.submit(n, 1, 10) for n in (2, 3, 4)), return_exceptions=True
        )
        assert found[0] == 4 and found[2] == 8 and isinstance(found[1], ValueError)
        await batcher.stop()

    asyncio.run(run())


def test_the_end_answers_what_waits_and_refuses_the_rest():
    async def run():
        recorder = Recorder()
        batcher, running = await start(recorder)
        waiting = asyncio.create_task(batcher.submit(2, 1, 10))
        await asyncio.sleep(0)
        recorder.may_run.set()
        await batcher.stop()
        assert await asyncio.gather(running, waiting) == [0, 4]
        with pytest.raises(StoppedError):
            await batcher.submit(4, 1, 10)

    asyncio.run(run())


def test_quick_batches_run_in_the_loop_and_hold_what_has_arrived_together():
    threads, batches = [], []

    def answer(numbers):
        threads.append(threading.current_thread())
        batches.append(list(numbers))
        time.sleep(max(numbers))
        return numbers

    async def run():
        batcher = Batcher(answer, batch_size=4, queue_size=16, quick_seconds=0.02)
        batcher.start()
        waiting = [asyncio.create_task(batcher.submit(0, 1, 10)) for _ in range(6)]
        await asyncio.gather(*waiting)
        assert batches == [[0] * 4, [0] * 2]
        await batcher.submit(0.1, 1, 10, is_long=True)
        await batcher.submit(0.2, 1, 10)
        await batcher.submit(0, 1, 10)
        await batcher.stop()

    asyncio.run(run())
    main = threading.current_thread()
    assert [one is main for one in threads] == [True, True, False, True, False]


def test_work_that_would_be_late_is_refused_at_once():
    async def run():
        batcher = Batcher(
            lambda numbers: [time.sleep(0.1)] * len(numbers),
            batch_size=2,
            queue_size=100,
            quick_seconds=IN_THE_THREAD,
        )
        batcher.start()
        for _ in range(8):  # after these it knows that a batch takes 0.1 s
            await batcher.submit(0, 1, 10)
        assert batcher.can_answer(0, 0.01)  # an idle one tries
        in_time = [asyncio.create_task(batcher.submit(n, 1, 1.0)) for n in range(6)]
        await asyncio.sleep(0)
        assert batcher.can_answer(6, 10) and not batcher.can_answer(6, 0.7)
        with pytest.raises(QueueFullError):
            await batcher.submit(6, 1, 0.7)
        assert not batcher.can_answer(102, 1000)
        await asyncio.gather(*in_time)
        await batcher.stop()

    asyncio.run(run())
