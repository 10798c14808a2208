"""Mutated requests to a server: an answer or one line, never 500, a traceback or a hang.

    python -m tests.campaigns.requests --cases 5000 --seed 0

Half of the cases are right requests with one part mutated: bodies, fields, headers, paths. The
other half come from the OpenAPI description, by schemathesis, also ones that break it.
"""

import atexit
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import numpy as np
import schemathesis
from schemathesis import GenerationMode
from starlette.testclient import TestClient

from seqrec.serving.app import build_app
from tests.campaigns.mutators import mutate_bytes, mutate_value
from tests.campaigns.runner import Judge, Verdict, main
from tests.serving.conftest import build_context, save_titled_model, slot_for

NUM_CASES = 5_000
TIMEOUT = 60.0
"""Seconds of a request: the first one with soft words loads an encoder."""
HISTORY = ["t3", {"item_id": "t5", "rating": 4}, 7]
RIGHT: list[tuple[str, dict[str, Any]]] = [
    ("/recommend", {"history": HISTORY, "k": 5, "exclude": ["t9"], "where": "year > 1990"}),
    ("/recommend", {"histories": [HISTORY, []], "mmr": 0.5, "max_per": ["genres:2"]}),
    ("/recommend", {"history": ["t1"], "candidates": ["t2", "t3"], "user": "ann"}),
    ("/recommend", {"history": ["t1"], "allow": ["t2", "t3"], "pin": ["t4:1"]}),
    ("/recommend", {"text": "a comedy after 2000 like Amélie, slow", "history": HISTORY, "k": 3}),
    (
        "/recommend",
        {
            "text": "older, like the second one",
            "previous": {
                "items": ["t7"],
                "excluded_items": ["t8"],
                "conditions": [{"column": "year", "operator": ">", "value": 1990}],
                "text": "slow",
            },
            "shown": ["t1", "t2"],
        },
    ),
    ("/similar", {"item_id": "t3", "k": 4}),
    ("/score", {"history": ["t3"], "item_ids": ["t4", "t5"]}),
    ("/admin/reload", {"model": "film"}),
]
PATHS = [
    "/", "/items", "/items?q=%ff", "/items?limit=x", "/items?id=", "/models/", "/metrics", "/docs",
    "/..%2f..%2fetc/passwd", "/recommend/", "/users/%00", "/openapi.json", "/items?q=%22OR%22*",
    "/items?q=" + "a" * 600, "/items?q=²½ ﷽", "/items?q=-*()",
]  # fmt: skip


def build_judge(folder: Path) -> Judge:
    """Start a server of a small model in an empty folder, and return the judge of requests."""
    slots = [slot_for(save_titled_model(folder / "film"))]
    context = build_context(slots, timeout_seconds=TIMEOUT)
    app = build_app(context)
    client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
    client.__enter__()
    atexit.register(client.__exit__, None, None, None)
    schema = schemathesis.openapi.from_dict(app.openapi())
    operations = [one.ok() for one in schema.get_all_operations()]
    kinds: list[Callable[[np.random.Generator], httpx.Response]] = [
        partial(_send_mutated_field, client),
        partial(_send_mutated_bytes, client),
        partial(_send_path, client),
        partial(_send_generated, client, operations),
    ]
    shares = [0.3, 0.15, 0.05, 0.5]

    def judge(generator: np.random.Generator, scratch: Path) -> Verdict:
        send = kinds[generator.choice(len(kinds), p=shares)]
        kind = send.func.__name__.removeprefix("_send_")  # type: ignore[attr-defined]
        return _judge_response(kind, send(generator), str(folder))

    return judge


def _judge_response(kind: str, response: httpx.Response, folder: str) -> Verdict:
    """Return ``right`` for an answer, and ``refused`` for one line with a cause."""
    if folder in response.text or "Traceback" in response.text:
        return Verdict(kind, "wrong", f"leaks: {response.text[:300]}")
    if response.status_code >= 500:
        return Verdict(kind, "traceback", f"{response.request.url}: {response.text[:300]}")
    if response.status_code < 400:
        return Verdict(kind, "right")
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        is_known = response.status_code == 413
        return Verdict(kind, "refused" if is_known else "wrong", response.text[:300])
    is_line = isinstance(detail, str) and detail and "\n" not in detail and len(detail) <= 400
    return Verdict(kind, "refused" if is_line else "wrong", str(detail)[:300])


def _send_mutated_field(client: TestClient, generator: np.random.Generator) -> httpx.Response:
    """Send a right request with some of its values changed, renamed or removed."""
    path, body = RIGHT[generator.integers(len(RIGHT))]
    content = json.dumps(mutate_value(generator, body)).encode()
    return client.post(path, content=content, headers={"content-type": "application/json"})


def _send_mutated_bytes(client: TestClient, generator: np.random.Generator) -> httpx.Response:
    """Send the bytes of a right request with some of them changed."""
    path, body = RIGHT[generator.integers(len(RIGHT))]
    content = mutate_bytes(generator, json.dumps(body).encode())
    kinds = ["application/json", "text/plain", "application/x-www-form-urlencoded", "x"]
    kind = kinds[0] if generator.random() < 0.8 else kinds[generator.integers(len(kinds))]
    return client.post(path, content=content, headers={"content-type": kind})


def _send_path(client: TestClient, generator: np.random.Generator) -> httpx.Response:
    """Ask for an odd path, by any method."""
    methods = ["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
    method = methods[generator.integers(len(methods))]
    path = PATHS[generator.integers(len(PATHS))]
    response = client.request(method, path, follow_redirects=False)
    if method == "HEAD" and response.status_code < 500:  # which has no body to judge
        return httpx.Response(200, request=response.request)
    return response


def _send_generated(
    client: TestClient, operations: list[Any], generator: np.random.Generator
) -> httpx.Response:
    """Send a request that schemathesis makes from the description, right or wrong by it."""
    operation = operations[generator.integers(len(operations))]
    mode = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE][generator.integers(2)]
    found: list[Any] = []

    @hypothesis.seed(int(generator.integers(1 << 30)))
    @hypothesis.settings(
        max_examples=1,
        database=None,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def draw(case: Any) -> None:
        found.append(case)

    try:
        draw()
    except hypothesis.errors.Unsatisfiable:
        return client.get("/models")
    sent = found[0].as_transport_kwargs(base_url="http://localhost")
    keys = ("method", "url", "params", "headers", "json", "content", "data")
    return client.request(**{key: sent[key] for key in keys if key in sent})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="campaign-server-") as temporary:
        sys.exit(main(build_judge(Path(temporary)), NUM_CASES))
