"""``POST /explain``."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from seqrec.data.counted_transitions import CountedTransitions
from seqrec.data.ids import get_id_text
from seqrec.ranking.evidence import Evidence, find_evidence, get_prior_counts
from seqrec.ranking.explained_requests import find_wishes
from seqrec.ranking.served import Reading, Served, check_guidance
from seqrec.ranking.text_requests import ReadRequest, TextSearch
from seqrec.search.reading import RequestReading
from seqrec.serving.answers import ERRORS
from seqrec.serving.bodies import ExplainBody
from seqrec.serving.body_route import BodyRoute
from seqrec.serving.context import Context, JsonResponse, log_fields
from seqrec.serving.page_answers import ExplainAnswer
from seqrec.serving.served_models import LoadedModel
from seqrec.serving.text_searches import open_for


def build_evidence_routes(context: Context) -> APIRouter:
    """Return the route that explains lists."""
    router = APIRouter(tags=["lists"], responses=ERRORS, route_class=BodyRoute)

    @router.post("/explain", response_model=ExplainAnswer)
    async def explain(body: ExplainBody, request: Request) -> Any:
        """Say what each title of a history does for some items, under a request or not."""
        slot = context.pool.get(body.model, None)
        log_fields(request, {"model": slot.name, "items": len(body.item_ids)})
        wanted = [get_id_text(item_id) for item_id in body.item_ids]
        counted = await asyncio.to_thread(lambda: context.sources.counted)
        model, seconds = slot.current, context.settings.timeout_seconds
        search, request_in_words = None, RequestReading()
        if body.previous is not None:
            request_in_words = body.previous.build(model.served.table)
            if model.reader is None:
                search = await open_for(model, request_in_words, seconds)

        def answer(_: LoadedModel, lists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
            asked = Reading(body.features, plan=False, guidance=body.guidance)
            read = _read(model, search, request_in_words, asked)
            served, counts = read.served, counted or get_prior_counts(model.served)
            items, unknown = served.table.find(wanted)
            reading = asked.without_words()
            history: list[Any] = [*body.history, *request_in_words.items]
            found = find_evidence(served, history, items, reading, counts)
            words: list[Any] = [None] * len(found)
            if body.sentences:
                explained = (
                    model.explainer.over(served)
                    .with_counts(counted)
                    .explain_evidence(
                        found,
                        history,
                        reading,
                        asked=request_in_words.items,
                        fulfils=find_wishes(search, read, history, items, asked),
                    )
                )
                words = [one.to_dict() for one in explained]
            pairs = zip(found, words, strict=True)
            return {
                "model": model.identity,
                "unknown_item_ids": unknown,
                "counting": _describe_counts(counts),
                "items": [_describe(served, one) | {"explanation": why} for one, why in pairs],
            }

        return JsonResponse(await context.engine.run(slot, [], answer, seconds, is_long=True))

    return router


def _read(
    model: LoadedModel, search: TextSearch | None, request: RequestReading, asked: Reading
) -> ReadRequest:
    """Return a request in words with the system that answers it, as its list was made.

    Raises:
        SeqRecError: a weight of nothing.
    """
    if search is not None:
        return search.read(request, asked)
    check_guidance(asked)
    if request.text and model.reader is not None:
        return ReadRequest(request, model.reader.serve_texts([request.text]), None)
    return ReadRequest(request, model.served, None)


def _describe_counts(counts: CountedTransitions | None) -> dict[str, Any] | None:
    if counts is None:
        return None
    return {"max_steps": counts.max_steps, "is_weighted": counts.is_weighted}


def _describe(served: Served, evidence: Evidence) -> dict[str, Any]:
    """Return evidence by the ids and titles of items."""
    return {
        **_name(served, evidence.item),
        "score": evidence.score,
        "rank": evidence.rank,
        "titles": [
            {
                **_name(served, one.title),
                "rank_without": one.without.rank,
                "factor": one.without.factor,
                "followed": None if one.followed is None else one.followed._asdict(),
                "cosine": one.cosine,
            }
            for one in evidence.titles
        ],
    }


def _name(served: Served, item: int) -> dict[str, str]:
    return {"item_id": served.table.item_ids[item], "title": served.table.titles[item]}
