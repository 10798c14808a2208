"""``POST /explain``."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from seqrec.data.counted_transitions import CountedTransitions
from seqrec.data.ids import get_id_text
from seqrec.ranking.evidence import Evidence, find_evidence, get_prior_counts
from seqrec.ranking.served import Reading, Served
from seqrec.serving.answers import ERRORS
from seqrec.serving.bodies import ExplainBody
from seqrec.serving.body_route import BodyRoute
from seqrec.serving.context import Context, JsonResponse, log_fields
from seqrec.serving.page_answers import ExplainAnswer
from seqrec.serving.served_models import LoadedModel


def build_evidence_routes(context: Context) -> APIRouter:
    """Return the route that explains lists."""
    router = APIRouter(tags=["lists"], responses=ERRORS, route_class=BodyRoute)

    @router.post("/explain", response_model=ExplainAnswer)
    async def explain(body: ExplainBody, request: Request) -> Any:
        """Say what each title of a history does for some items."""
        slot = context.pool.get(body.model, None)
        log_fields(request, {"model": slot.name, "items": len(body.item_ids)})
        wanted = [get_id_text(item_id) for item_id in body.item_ids]
        counted = await asyncio.to_thread(lambda: context.sources.counted)

        def answer(model: LoadedModel, lists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
            served, counts = model.served, counted or get_prior_counts(model.served)
            items, unknown = served.table.find(wanted)
            reading = Reading(body.features, plan=False)
            history: list[Any] = list(body.history)
            found = find_evidence(served, history, items, reading, counts)
            words: list[Any] = [None] * len(found)
            if body.sentences:
                explainer = model.explainer.with_counts(counted)
                explained = explainer.explain_evidence(found, history, reading)
                words = [one.to_dict() for one in explained]
            pairs = zip(found, words, strict=True)
            return {
                "model": model.identity,
                "unknown_item_ids": unknown,
                "counting": _describe_counts(counts),
                "items": [_describe(served, one) | {"explanation": why} for one, why in pairs],
            }

        seconds = context.settings.timeout_seconds
        return JsonResponse(await context.engine.run(slot, [], answer, seconds, is_long=True))

    return router


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
