"""The engine: requests of all routes go through one queue to one thread of models."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from seqrec.errors import SeqRecError
from seqrec.ranking.answer import describe_list
from seqrec.ranking.request_batches import ListRequest, rank_requests
from seqrec.serving.batcher import Batcher
from seqrec.serving.metrics import Metrics
from seqrec.serving.served_models import LoadedModel, ModelPool, ModelSlot

Finish = Callable[[LoadedModel, list[dict[str, Any]]], Any]


@dataclass(frozen=True)
class Work:
    """Work for a model: lists to rank, together with those of others, and what to make of them."""

    slot: ModelSlot
    requests: Sequence[ListRequest]
    finish: Finish
    """Gets the model and the answers of ``requests``, and returns the result."""


class Engine:
    """Answers work in batches, each by the model that stands behind its name at that time."""

    def __init__(
        self, pool: ModelPool, metrics: Metrics, *, batch_size: int, queue_size: int
    ) -> None:
        self.pool = pool
        self._metrics = metrics
        self._batch_size = batch_size
        self._batcher: Batcher[Work, Any] = Batcher(
            self._answer, batch_size=batch_size, queue_size=queue_size
        )
        metrics.watch_queue(lambda: self._batcher.depth)
        self.start = self._batcher.start
        self.stop = self._batcher.stop
        self.can_answer = self._batcher.can_answer

    async def run(
        self,
        slot: ModelSlot,
        requests: Sequence[ListRequest],
        finish: Finish,
        seconds: float,
        *,
        is_long: bool = False,
    ) -> Any:
        """Return the result of work; arguments and refusals as those of ``Batcher.submit``.

        Raises:
            SeqRecError: a mistake in the request.
        """
        work = Work(slot, requests, finish)
        return await self._batcher.submit(work, max(len(requests), 1), seconds, is_long=is_long)

    async def warm_up(self) -> None:
        """Answer a full batch by every model in the thread of long batches.

        The thread and the libraries that it calls take their memory then, and not during a request.
        """
        for slot in self.pool.slots.values():
            requests = slot.current.build_batch(self._batch_size)
            work = Work(slot, requests, lambda model, lists: None)
            await self._batcher.run_in_thread(partial(self._answer_by, slot.current, [work]))

    def _answer(self, batch: Sequence[Work]) -> list[Any]:
        """Return the result of every piece of work, or its error."""
        started = time.perf_counter()
        by_slot: dict[ModelSlot, list[int]] = {}
        for number, work in enumerate(batch):
            by_slot.setdefault(work.slot, []).append(number)
        results: dict[int, Any] = {}
        for slot, numbers in by_slot.items():
            model = slot.current  # one model for the whole batch, whatever is reloaded meanwhile
            answered = self._answer_by(model, [batch[number] for number in numbers])
            results.update(zip(numbers, answered, strict=True))
        self._metrics.count_batch(
            sum(len(work.requests) for work in batch), time.perf_counter() - started
        )
        return [results[number] for number in range(len(batch))]

    def _answer_by(self, model: LoadedModel, batch: Sequence[Work]) -> list[Any]:
        """Return the results of work for one model."""
        requests = [request for work in batch for request in work.requests]
        try:
            ranked = iter(rank_requests(model.served, requests))
        except Exception as error:
            if len(batch) == 1:
                return [error]
            return [one for work in batch for one in self._answer_by(model, [work])]
        results: list[Any] = []
        for work in batch:
            own = [next(ranked) for _ in work.requests]
            mistake = next((one for one in own if isinstance(one, SeqRecError)), None)
            try:
                lists = [
                    describe_list(model.served, one)
                    for one in own
                    if not isinstance(one, SeqRecError)
                ]
                results.append(mistake or work.finish(model, lists))
            except Exception as error:
                results.append(error)
        return results
