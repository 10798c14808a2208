"""The page, its files, and what it asks for beside lists: genres, users, an evaluation."""

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from seqrec.serving.answers import ERRORS
from seqrec.serving.context import Context, JsonResponse, log_fields
from seqrec.serving.errors import refuse
from seqrec.serving.limits import MAX_LETTERS
from seqrec.serving.page_answers import (
    EvaluationAnswer,
    GenresAnswer,
    LogUserAnswer,
    LogUsersAnswer,
)
from seqrec.serving.page_files import HEADERS, PAGE_FILES, PageFile
from seqrec.serving.served_models import hash_user

NUM_EXAMPLES = 50
GENRES = "genres"


def build_page_routes(context: Context) -> APIRouter:
    """Return the routes of the page."""
    router = APIRouter(tags=["page"], responses=ERRORS)
    for path, file in PAGE_FILES.items():
        router.add_api_route(
            path, partial(_send_file, file), methods=["GET"], include_in_schema=False
        )

    @router.get("/genres", response_model=GenresAnswer)
    async def genres(
        model: Annotated[str | None, Query(max_length=MAX_LETTERS)] = None,
    ) -> Any:
        """List the genres of a model's catalog, with the number of items of each."""
        table = context.pool.get(model, None).current.served.table
        counts = await asyncio.to_thread(table.count_values, GENRES)
        found = [{"name": name, "items": count} for name, count in counts]
        return JsonResponse({"genres": found})

    @router.get("/log/users", response_model=LogUsersAnswer)
    async def users() -> Any:
        """List some users of the prepared data; none if the server was given no data."""
        known = await asyncio.to_thread(lambda: context.sources.users)
        if known is None:
            return JsonResponse({"num_users": 0, "examples": []})
        examples = await asyncio.to_thread(known.list_examples, NUM_EXAMPLES)
        return JsonResponse({"num_users": len(known.user_ids), "examples": examples})

    @router.get("/log/user", response_model=LogUserAnswer)
    async def user(
        request: Request, id: Annotated[str, Query(min_length=1, max_length=MAX_LETTERS)]
    ) -> Any:
        """Show what a user of the prepared data watched, oldest first."""
        known = await asyncio.to_thread(lambda: context.sources.users)
        log_fields(request, {"user": hash_user(id)})
        watched = None if known is None else known.find(id)
        if watched is None:
            return refuse(request, 404, "user: not in the prepared data of the server")
        return JsonResponse({"user_id": id, "watched": [one._asdict() for one in watched]})

    @router.get("/evaluation", response_model=EvaluationAnswer)
    async def evaluation() -> Any:
        """Show the table of an evaluation; an empty one if the server was given none."""
        nothing: dict[str, Any] = {"columns": [], "rows": [], "notes": []}
        return JsonResponse(context.sources.evaluation or nothing)

    return router


async def _send_file(file: PageFile) -> Response:
    return Response(file.content, media_type=file.media_type, headers=HEADERS)
