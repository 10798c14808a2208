"""Searches by words, each opened once, however many requests wait for it.

The first request in words opens the search of its model, the first one with soft words encodes the
texts of all items, both in a thread, which may take longer than the time limit. Other requests go
on meanwhile. A step that failed is begun again by the next request.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from seqrec.errors import SeqRecError
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.text_requests import TextSearch
from seqrec.search.reading import RequestReading
from seqrec.serving.batcher import DeadlinePassedError
from seqrec.serving.served_models import LoadedModel

SOFT_WORDS = "something thoughtful"
"""Words that no catalog has as a value."""


async def open_search(model: LoadedModel, seconds: float) -> TextSearch:
    """Return the search of a model.

    Raises:
        DeadlinePassedError: it is not open within ``seconds``; later requests may find it.
        SeqRecError: the items have no words.
    """
    return await _do_once("open", model, seconds, lambda: _open(model))


async def encode_items(model: LoadedModel, search: TextSearch, seconds: float) -> None:
    """Let a search be ready for soft words.

    Raises:
        DeadlinePassedError: it is not within ``seconds``; it may be for later requests.
        SeqRecError: there is no encoder.
    """
    ask = ListRequest([], 1)
    await _do_once("encode", model, seconds, lambda: search.answer(SOFT_WORDS, ask))


async def open_for(model: LoadedModel, request: RequestReading, seconds: float) -> TextSearch:
    """Return the search of a model, ready for the soft words of a request if it has any.

    Raises:
        DeadlinePassedError: it is not ready within ``seconds``.
        SeqRecError: the items have no words, or there is no encoder.
    """
    end = time.monotonic() + seconds
    search = await open_search(model, seconds)
    if request.text:
        await encode_items(model, search, max(end - time.monotonic(), 0.0))
    return search


async def read_request(
    search: TextSearch,
    text: str,
    previous: RequestReading | None,
    shown: Sequence[str],
    seconds: float,
) -> RequestReading:
    """Return the reading of a request; a language model reads it in a thread, and remembers it.

    Raises:
        DeadlinePassedError: it is not read within ``seconds``.
    """
    if search.language is None:
        return search.compile(text, previous, shown)
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.to_thread(search.compile, text, previous, shown)
    except TimeoutError as error:
        raise DeadlinePassedError from error


async def _do_once(
    step: str, model: LoadedModel, seconds: float, function: Callable[[], Any]
) -> Any:
    """Return the result of a function that is called once for a model, unless it fails."""
    task = model.text_steps.get(step)
    if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
        task = model.text_steps[step] = asyncio.create_task(asyncio.to_thread(function))
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(task)
    except TimeoutError as error:
        raise DeadlinePassedError from error


def _open(model: LoadedModel) -> TextSearch:
    if model.open_text is None:
        raise SeqRecError(f"text: {model.name} answers no requests in words")
    return model.open_text(model.served)
