"""Refusals as answers: a status, and one line with the cause and the fix."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from seqrec.errors import SeqRecError, shorten
from seqrec.serving.access_log import REQUEST_ID
from seqrec.serving.admission import RETRY_SECONDS
from seqrec.serving.batcher import DeadlinePassedError, QueueFullError, StoppedError
from seqrec.serving.context import JsonResponse
from seqrec.serving.users import StoreFailedError

DETAIL_LETTERS = 300


def refuse(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> JsonResponse:
    """Return the answer to a request that is refused."""
    content = {
        "detail": shorten(detail, DETAIL_LETTERS),
        "request_id": request.scope.get(REQUEST_ID, ""),
    }
    return JsonResponse(content, status, dict(headers or {}))


def add_error_handlers(app: FastAPI) -> None:
    """Let an application answer with one line to every mistake."""
    app.add_exception_handler(SeqRecError, _refuse_mistake)
    app.add_exception_handler(RequestValidationError, _refuse_fields)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(QueueFullError, _refuse_load)
    app.add_exception_handler(DeadlinePassedError, _refuse_late)
    app.add_exception_handler(StoppedError, _refuse_stopped)
    app.add_exception_handler(StoreFailedError, _refuse_without_store)


async def _refuse_mistake(request: Request, error: Exception) -> JsonResponse:
    return refuse(request, 400, str(error).removeprefix("--"))


async def _refuse_fields(request: Request, error: Exception) -> JsonResponse:
    assert isinstance(error, RequestValidationError)
    return refuse(request, 422, _describe(error.errors()))


async def _refuse_http(request: Request, error: Exception) -> JsonResponse:
    assert isinstance(error, HTTPException)
    return refuse(request, error.status_code, str(error.detail), error.headers)


async def _refuse_load(request: Request, error: Exception) -> JsonResponse:
    headers = {"retry-after": str(RETRY_SECONDS)}
    return refuse(request, 429, "too many requests wait; come back later", headers)


async def _refuse_late(request: Request, error: Exception) -> JsonResponse:
    return refuse(request, 504, "no answer within the time limit")


async def _refuse_stopped(request: Request, error: Exception) -> JsonResponse:
    return refuse(request, 503, "the server ends", {"retry-after": str(RETRY_SECONDS)})


async def _refuse_without_store(request: Request, error: Exception) -> JsonResponse:
    headers = {"retry-after": str(RETRY_SECONDS)}
    return refuse(request, 503, "user: stored histories cannot be reached; see the log", headers)


def _describe(errors: Sequence[Any]) -> str:
    """Return the first mistake in the fields of a request."""
    first = min(errors, key=lambda error: -len(error["loc"]))
    place = ".".join(str(part) for part in first["loc"][1:] if not _is_type_name(part))
    if first["type"] == "json_invalid":
        return f"body: not JSON: {first.get('ctx', {}).get('error', '')}"
    if first["type"] in ("model_attributes_type", "model_type") and not place:
        return "body: send a JSON object, with content-type: application/json"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place or 'body'}: {message[:1].lower()}{message[1:]}"


def _is_type_name(part: Any) -> bool:
    """Return True for the member of a union in the place of a mistake."""
    return isinstance(part, str) and ("[" in part or part in ("str", "int", "float", "bool"))
