"""``GET /items`` and ``GET /models``."""

import asyncio
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request

import seqrec
from seqrec.serving.answers import ERRORS, ItemsAnswer, ModelsAnswer
from seqrec.serving.context import Context, JsonResponse, log_fields
from seqrec.serving.limits import MAX_LETTERS
from seqrec.serving.served_models import LoadedModel, describe

MAX_FOUND = 100
NOT_SHOWN = ("item",)


def build_catalog_routes(context: Context) -> APIRouter:
    """Return the routes that describe models and items."""
    router = APIRouter(tags=["catalog"], responses=ERRORS)

    @router.get("/items", response_model=ItemsAnswer)
    async def items(
        request: Request,
        q: Annotated[str, Query(max_length=MAX_LETTERS, description="Words of a title.")] = "",
        id: Annotated[
            list[str], Query(max_length=MAX_FOUND, description="Ids of items; repeatable.")
        ] = [],  # noqa: B006
        limit: Annotated[int, Query(ge=1, le=MAX_FOUND)] = 10,
        model: Annotated[str | None, Query(max_length=MAX_LETTERS)] = None,
    ) -> Any:
        """Find items by words of their titles, also misspelt ones, or by id."""
        slot = context.pool.get(model, None)
        log_fields(request, {"model": slot.name})
        current = slot.current
        if id:
            rows = current.served.table.find(id)[0].tolist()
        else:
            rows = await asyncio.to_thread(current.title_search.find, q, limit)
        return JsonResponse({"model": current.identity, "items": _show(current, rows)})

    @router.get("/models", response_model=ModelsAnswer)
    async def models() -> Any:
        """List the models that answer."""
        pool = context.pool
        found = [
            describe(slot.current, slot, is_default=slot is pool.first)
            for slot in pool.slots.values()
        ]
        return JsonResponse({"seqrec": seqrec.__version__, "models": found})

    return router


def _show(model: LoadedModel, rows: list[int]) -> list[dict[str, Any]]:
    """Return items with all their columns; the title is the display name."""
    table = model.served.table
    shown = table.items.drop(NOT_SHOWN, strict=False)[rows].to_dicts()
    return [
        {key: _plain(value) for key, value in cells.items()} | {"title": table.titles[row]}
        for row, cells in zip(rows, shown, strict=True)
    ]


def _plain(value: Any) -> Any:
    """Return a cell as JSON holds it."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if value is None or isinstance(value, str | int | bool):
        return value
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
