"""Health, metrics, reloading and the page of the interface."""

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from seqrec.errors import SeqRecError
from seqrec.serving.answers import ERRORS, ReloadAnswer, StatusAnswer
from seqrec.serving.bodies import ReloadBody
from seqrec.serving.context import Context, JsonResponse
from seqrec.serving.docs_page import POLICY, format_docs
from seqrec.serving.errors import refuse
from seqrec.serving.reloading import reload_slot


def build_operation_routes(context: Context) -> APIRouter:
    """Return the routes for those who run the server."""
    router = APIRouter(tags=["operations"], responses=ERRORS)

    @router.get("/health/live", response_model=StatusAnswer)
    async def live() -> Any:
        """Say that the process answers."""
        return JsonResponse({"status": "live"})

    @router.get("/health/ready", response_model=StatusAnswer)
    async def ready(request: Request) -> Any:
        """Say whether requests should be sent here: all models loaded, and no end in sight."""
        if context.state.is_draining or not context.pool.is_loaded:
            return refuse(request, 503, "not ready")
        return JsonResponse({"status": "ready"})

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Any:
        """Show the counters in the text format of Prometheus."""
        return Response(context.metrics.format(), media_type="text/plain; version=0.0.4")

    @router.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Any:
        """Show the interface as a page."""
        page = format_docs(request.app.openapi())
        return HTMLResponse(page, headers={"content-security-policy": POLICY})

    @router.post("/admin/reload", response_model=ReloadAnswer)
    async def reload(request: Request, body: ReloadBody | None = None) -> Any:
        """Load models anew from their folders; the old ones answer until then, and on a failure."""
        pool = context.pool
        name = None if body is None else body.model
        chosen = [pool.get(name, None)] if name else list(pool.slots.values())
        loaded = []
        for slot in chosen:
            try:
                await asyncio.to_thread(reload_slot, slot, pool, context.metrics)
            except SeqRecError:
                detail = f"model {slot.name}: cannot be loaded; the old one answers; see the log"
                return refuse(request, 409, detail)
            loaded.append(slot.current.identity)
        return JsonResponse({"models": loaded})

    return router
