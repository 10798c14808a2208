"""Answers of a model that reads requests in words itself, turn by turn, in the form of a search."""

from dataclasses import replace
from typing import Any

from seqrec.ranking.answer import answer_history
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.text_requests import narrow_options
from seqrec.search.reading import RequestReading

NO_WISH = RequestReading()


def answer_read(
    recommender: Recommender, text: str, asked: ListRequest, previous: RequestReading = NO_WISH
) -> dict[str, Any]:
    """Return the list that a model with both heads gives to a request, with its reading.

    The model reads the words of all turns, one below the other; no word becomes a condition. The
    items and conditions that the reading of an earlier turn has, by a client or another model,
    follow the history and filter the catalog.

    Args:
        recommender: the model.
        text: the request; empty to repeat the one before.
        asked: the history and the options of the list.
        previous: the reading of the turn before.

    Raises:
        SeqRecError: a mistake in the request, or more tokens than the model reads.
    """
    request = replace(previous, text="\n".join(filter(None, (previous.text, text))))
    options = narrow_options(asked.options, request, request.conditions)
    whole = replace(asked, history=[*asked.history, *request.items], options=options)
    served = recommender.serve_texts([request.text]) if request.text else recommender.serve()
    answer = answer_history(served, whole, None)
    return {**answer, "request": request.to_dict(), "understood": request.describe()}
