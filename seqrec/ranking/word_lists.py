"""Lists of several histories for one request in words."""

from collections.abc import Sequence
from dataclasses import replace

from seqrec.errors import SeqRecError
from seqrec.ranking.given_histories import list_histories
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.text_requests import TextSearch
from seqrec.tokens.events.requests import Event


def list_by_words(
    search: TextSearch, text: str, histories: Sequence[Sequence[Event]], asked: ListRequest
) -> list[list[tuple[str, float]]]:
    """Return for every history the list of a request as ``(item_id, score)``, best first.

    Args:
        search: answers requests over the catalog of a model.
        text: the request.
        histories: ids or events of each history.
        asked: the options of the lists.

    Raises:
        SeqRecError: a log, or histories of users by name.
    """
    if not isinstance(histories, list | tuple):
        raise SeqRecError("--text: goes with --history, or in Python with a list of histories")
    answers = [
        search.answer(text, replace(asked, history=history))
        for history in list_histories(histories)
    ]
    return [
        [(row["item_id"], row["score"]) for row in answer["recommendations"]] for answer in answers
    ]
