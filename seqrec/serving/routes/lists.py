"""``POST /recommend``, ``/similar`` and ``/score``."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from seqrec.data.ids import get_id_text
from seqrec.errors import SeqRecError
from seqrec.ranking.answer import answer_similar
from seqrec.serving.answers import ERRORS, RecommendAnswer, ScoreAnswer, SimilarAnswer
from seqrec.serving.answers_in_words import add_model, answer_in_words
from seqrec.serving.bodies import Histories, RecommendBody, ScoreBody, SimilarBody
from seqrec.serving.body_route import BodyRoute
from seqrec.serving.context import Context, JsonResponse, log_fields
from seqrec.serving.served_models import LoadedModel, ModelSlot, hash_user


def build_list_routes(context: Context) -> APIRouter:
    """Return the routes that rank items."""
    router = APIRouter(tags=["lists"], responses=ERRORS, route_class=BodyRoute)
    seconds = context.settings.timeout_seconds

    async def choose(
        request: Request, body: Histories, model: str | None
    ) -> tuple[ModelSlot, list[list[Any]]]:
        """Return the model that answers and the whole histories, and log both."""
        slot = context.pool.get(model, body.user)
        histories = body.list_histories()
        if body.user is not None and context.users is not None:
            histories = [await context.users.add(body.user, histories[0])]
        elif body.history is None and body.histories is None and not body.may_be_empty:
            raise SeqRecError("history: this server stores none; send the whole history")
        fields: dict[str, Any] = {"model": slot.name, "histories": len(histories)}
        if body.user is not None:
            fields |= {"user": hash_user(body.user), "is_assigned": model is None}
        if context.settings.logs_histories:
            fields["history"] = histories
        log_fields(request, fields)
        return slot, histories

    @router.post("/recommend", response_model=RecommendAnswer)
    async def recommend(body: RecommendBody, request: Request) -> Any:
        """List the next items after each history."""
        slot, histories = await choose(request, body, body.model)
        if body.is_in_words:
            found = await answer_in_words(context.engine, slot, body, histories[0], seconds)
            return JsonResponse(found)
        requests = body.build_requests(histories)
        return JsonResponse(await context.engine.run(slot, requests, add_model, seconds))

    @router.post("/similar", response_model=SimilarAnswer)
    async def similar(body: SimilarBody, request: Request) -> Any:
        """List the items that are most similar to one item."""
        slot = context.pool.get(body.model, None)
        log_fields(request, {"model": slot.name})

        def answer(model: LoadedModel, lists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
            found = answer_similar(model.served, body.item_id, body.k, body.options)
            return {"model": model.identity, **found}

        return JsonResponse(await context.engine.run(slot, [], answer, seconds))

    @router.post("/score", response_model=ScoreAnswer)
    async def score(body: ScoreBody, request: Request) -> Any:
        """Score given items after each history."""
        slot, histories = await choose(request, body, body.model)
        requests = body.build_requests(histories)
        wanted = [get_id_text(item_id) for item_id in body.item_ids]

        def answer(model: LoadedModel, lists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
            unknown = [item_id for item_id in wanted if item_id not in model.served.table]
            return {
                "model": model.identity,
                "unknown_item_ids": unknown,
                "lists": [_order_scores(ranked, wanted) for ranked in lists],
            }

        return JsonResponse(await context.engine.run(slot, requests, answer, seconds))

    return router


def _order_scores(ranked: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
    """Return the scores of a list in the order in which its items were asked for."""
    found = {row["item_id"]: row for row in ranked["recommendations"]}
    rows = [found[item_id] for item_id in wanted if item_id in found]
    return {
        **{key: ranked[key] for key in ("unknown_items", "unknown_features", "fallback")},
        "scores": [{key: row[key] for key in ("item_id", "title", "score")} for row in rows],
    }
