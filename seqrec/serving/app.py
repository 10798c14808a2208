"""The application: routes, refusals and layers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware import Middleware
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

import seqrec
from seqrec.serving.access_log import AccessLog
from seqrec.serving.admission import AdmissionLayer
from seqrec.serving.context import Context
from seqrec.serving.errors import add_error_handlers
from seqrec.serving.guard import Guard
from seqrec.serving.routes.catalog import build_catalog_routes
from seqrec.serving.routes.evidence import build_evidence_routes
from seqrec.serving.routes.lists import build_list_routes
from seqrec.serving.routes.operations import build_operation_routes
from seqrec.serving.routes.page import build_page_routes
from seqrec.serving.routes.users import build_user_routes


def build_app(context: Context) -> FastAPI:
    """Return the application of a server; its models are loaded by the caller."""
    settings = context.settings

    @asynccontextmanager
    async def run_engine(app: FastAPI) -> AsyncIterator[None]:
        context.engine.start()
        await context.engine.warm_up()
        yield
        await context.engine.stop()
        if context.users is not None:
            context.users.close()

    def is_draining() -> bool:
        return context.state.is_draining

    def open_to_origins(app: ASGIApp) -> ASGIApp:
        """Return an application whose answers the pages of other sites may read, as far as set."""
        if not settings.cors_origins:
            return app
        return CORSMiddleware(
            app,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "content-type", "x-request-id"],
            expose_headers=["retry-after", "x-request-id"],
        )

    metrics = context.metrics
    layers = [
        Middleware(AdmissionLayer, context.admission, is_draining, open_to_origins),
        Middleware(AccessLog, metrics, is_draining, writes_lines=settings.logs_requests),
        Middleware(open_to_origins),
        Middleware(Guard, settings),
    ]
    app = FastAPI(
        title="seqrec",
        version=seqrec.__version__,
        description="Recommendations of sequential models.",
        docs_url=None,
        redoc_url=None,
        middleware=layers,
        lifespan=run_engine,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    add_error_handlers(app)
    app.include_router(build_list_routes(context))
    app.include_router(build_evidence_routes(context))
    app.include_router(build_catalog_routes(context))
    app.include_router(build_user_routes(context))
    app.include_router(build_operation_routes(context))
    app.include_router(build_page_routes(context))
    return app
