"""The answer to a request in words, all of whose steps share one time limit."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from seqrec.data.ids import get_id_text
from seqrec.ranking.read_requests import NO_WISH, answer_read
from seqrec.serving.bodies import RecommendBody
from seqrec.serving.engine import Engine
from seqrec.serving.served_models import LoadedModel, ModelSlot
from seqrec.serving.text_searches import open_for, open_search, read_request


async def answer_in_words(
    engine: Engine, slot: ModelSlot, body: RecommendBody, history: list[Any], seconds: float
) -> dict[str, Any]:
    """Return the list that a request in words gets, by the model of now.

    Raises:
        DeadlinePassedError: it took longer than ``seconds``.
        SeqRecError: the items have no words, or there is no encoder.
    """
    end = time.monotonic() + seconds

    def left() -> float:
        return max(end - time.monotonic(), 0.0)

    model, text = slot.current, body.text or ""
    asked = body.build_request_in_words(history)
    previous = None if body.previous is None else body.previous.build(model.served.table)
    reader = model.reader
    if reader is not None:

        def read(_: LoadedModel, lists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
            return add_model(model, [answer_read(reader, text, asked, previous or NO_WISH)])

        return await engine.run(slot, [], read, left(), is_long=True)
    search = await open_search(model, left())
    shown = [get_id_text(item_id) for item_id in body.shown]
    request = await read_request(search, text, previous, shown, left())
    await open_for(model, request, left())

    def answer(_: LoadedModel, lists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return add_model(model, [search.answer_read(search.read(request, asked.reading), asked)])

    return await engine.run(slot, [], answer, left(), is_long=True)


def add_model(model: LoadedModel, lists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return lists with the model that made them."""
    return {"model": model.identity, "lists": lists}
