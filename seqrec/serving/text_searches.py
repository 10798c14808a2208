"""Searches by words, each opened once, however many requests wait for it."""

import asyncio
import logging

from seqrec.errors import SeqRecError
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.text_requests import TextSearch
from seqrec.serving.batcher import DeadlinePassedError
from seqrec.serving.served_models import LoadedModel

logger = logging.getLogger(__name__)

SOFT_WORDS = "something thoughtful"
"""Words that no catalog has as a value, so that item texts are encoded before requests come."""


class TextSearches:
    """The searches by words of the models that answer.

    The first request in words opens the search of its model in a thread: it encodes the texts of
    all items, which may take longer than the time limit. Other requests go on meanwhile.
    """

    def __init__(self) -> None:
        self._opened: dict[str, tuple[LoadedModel, asyncio.Task[TextSearch]]] = {}

    async def get(self, model: LoadedModel, seconds: float) -> TextSearch:
        """Return the search of a model.

        Raises:
            DeadlinePassedError: it is not open within ``seconds``; later requests may find it.
            SeqRecError: the items have no words.
        """
        known, task = self._opened.get(model.name, (None, None))
        if known is not model or task is None:
            task = asyncio.create_task(asyncio.to_thread(_open, model))
            self._opened[model.name] = model, task
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(task)
        except TimeoutError as error:
            raise DeadlinePassedError from error


def _open(model: LoadedModel) -> TextSearch:
    """Return the search of a model, with the texts of its items encoded."""
    if model.open_text is None:
        raise SeqRecError(f"text: {model.name} answers no requests in words")
    search = model.open_text(model.served)
    try:
        search.answer(SOFT_WORDS, ListRequest([], 1))
    except SeqRecError as error:  # without an encoder, requests without soft words are answered
        refusal = {"fields": {"model": model.name, "error": str(error)}}
        logger.warning("soft words of requests cannot be read", extra=refusal)
    return search
