"""Searches by words, each opened once, however many requests wait for it."""

import asyncio
from collections.abc import Callable
from typing import Any

from seqrec.errors import SeqRecError
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.text_requests import TextSearch
from seqrec.serving.batcher import DeadlinePassedError
from seqrec.serving.served_models import LoadedModel

SOFT_WORDS = "something thoughtful"
"""Words that no catalog has as a value."""


class TextSearches:
    """The searches by words of the models that answer.

    The first request in words opens the search of its model, the first one with soft words encodes
    the texts of all items, both in a thread, which may take longer than the time limit. Other
    requests go on meanwhile.
    """

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, str], tuple[LoadedModel, asyncio.Task[Any]]] = {}

    async def open(self, model: LoadedModel, seconds: float) -> TextSearch:
        """Return the search of a model.

        Raises:
            DeadlinePassedError: it is not open within ``seconds``; later requests may find it.
            SeqRecError: the items have no words.
        """
        return await self._do_once("open", model, seconds, lambda: _open(model))

    async def encode_items(self, model: LoadedModel, search: TextSearch, seconds: float) -> None:
        """Let a search be ready for soft words.

        Raises:
            DeadlinePassedError: it is not within ``seconds``; it may be for later requests.
            SeqRecError: there is no encoder.
        """
        ask = ListRequest([], 1)
        await self._do_once("encode", model, seconds, lambda: search.answer(SOFT_WORDS, ask))

    async def _do_once(
        self, step: str, model: LoadedModel, seconds: float, function: Callable[[], Any]
    ) -> Any:
        """Return the result of a function that is called once for a model."""
        known, task = self._tasks.get((model.name, step), (None, None))
        if known is not model or task is None:
            task = asyncio.create_task(asyncio.to_thread(function))
            self._tasks[model.name, step] = model, task
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(task)
        except TimeoutError as error:
            raise DeadlinePassedError from error


def _open(model: LoadedModel) -> TextSearch:
    if model.open_text is None:
        raise SeqRecError(f"text: {model.name} answers no requests in words")
    return model.open_text(model.served)
