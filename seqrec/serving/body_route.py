"""Routes that read a body and nothing else."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from seqrec.serving.field_types import Body

JSON_TYPE = "application/json"
NO_OBJECT = "model_type"
"""pydantic's name of the mistake that a body is no JSON object."""


class BodyRoute(APIRoute):
    """A route whose endpoint takes ``body`` and ``request``.

    It answers as FastAPI's own route, whose search for other arguments takes longer than reading
    a body does.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        assert self.body_field is not None, "the endpoint takes a body"
        endpoint, form = self.endpoint, self.body_field.field_info.annotation
        assert isinstance(form, type) and issubclass(form, Body)

        async def handle(request: Request) -> Response:
            return await endpoint(body=await _read_body(request, form), request=request)

        return handle


async def _read_body(request: Request, form: type[Body]) -> Body:
    """Return the body of a request.

    Raises:
        RequestValidationError: it is not JSON, or has a mistake in a field.
        HTTPException: the connection was closed before all of it arrived.
    """
    try:
        content = await request.body()
    except ClientDisconnect as error:
        raise HTTPException(400, "body: the connection was closed before its end") from error
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON_TYPE:
        raise RequestValidationError([{"type": NO_OBJECT, "loc": ("body",), "msg": ""}])
    try:
        return form.model_validate_json(content)
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False)
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in mistakes]
        ) from error
