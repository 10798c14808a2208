"""State that the routes of a server share."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from seqrec.serving.access_log import LOG_FIELDS
from seqrec.serving.admission import Admission
from seqrec.serving.engine import Engine
from seqrec.serving.metrics import Metrics
from seqrec.serving.page_sources import PageSources
from seqrec.serving.served_models import ModelPool
from seqrec.serving.settings import ServerSettings
from seqrec.serving.users import UserHistories


@dataclass
class ServerState:
    """The phases of a server."""

    is_draining: bool = False
    """It ends: load balancers are told, and connections close after their next answer."""


@dataclass(frozen=True)
class Context:
    """The engine, the settings and the counters of a server."""

    engine: Engine
    settings: ServerSettings
    metrics: Metrics
    state: ServerState
    users: UserHistories | None = None
    """Stored histories; None: requests hold whole ones."""
    sources: PageSources = PageSources()

    @cached_property
    def admission(self) -> Admission:
        """The admission of requests for lists."""
        return Admission(self.engine, self.metrics, self.settings.timeout_seconds)

    @property
    def pool(self) -> ModelPool:
        return self.engine.pool


class JsonResponse(Response):
    """A response of plain values, as JSON in UTF-8."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def log_fields(request: Request, fields: Mapping[str, Any]) -> None:
    """Add fields to the log line of a request."""
    request.scope.setdefault(LOG_FIELDS, {}).update(fields)
