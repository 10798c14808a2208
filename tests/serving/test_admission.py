"""Requests refused unread, while others are answered."""

import asyncio
import http.client
import json
import logging
import socket
import threading
import time

import httpx
import pytest

from seqrec.serving import engine as engine_module
from seqrec.serving.app import build_app
from tests.serving.browsing import run_in_thread
from tests.serving.conftest import build_context, slot_for

BODY = {"history": ["t1"]}


@pytest.fixture
def held_model(monkeypatch):
    """An event until which ranking waits."""
    may_rank, rank = threading.Event(), engine_module.rank_requests

    def rank_when_allowed(served, requests):
        assert may_rank.wait(10)
        return rank(served, requests)

    monkeypatch.setattr(engine_module, "rank_requests", rank_when_allowed)
    monkeypatch.setattr("seqrec.serving.batcher.QUICK_SECONDS", -1.0)
    return may_rank


def test_what_cannot_be_answered_in_time_is_refused_unread(folder, held_model, caplog):
    caplog.set_level(logging.WARNING, "seqrec.access")
    context = build_context([slot_for(folder)], batch_size=1, queue_size=2, token="t" * 20)
    app = build_app(context)
    transport = httpx.ASGITransport(app)

    async def run():
        own = {"authorization": "Bearer " + "t" * 20}
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            ask = client.post
            first = []
            for _ in range(3):  # one is computed, two wait
                first.append(asyncio.create_task(ask("/recommend", json=BODY, headers=own)))
                await asyncio.sleep(0.02)
            refused = [await ask(path, content=b"no JSON") for path in ("/recommend", "/score")]
            assert all(one.status_code == 429 for one in refused)
            assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
            assert "come back later" in refused[0].json()["detail"]
            assert (await client.get("/health/live")).status_code == 200
            shown = (await client.get("/metrics", headers=own)).text
            assert "seqrec_refusals_total 2.0" in shown
            held_model.set()
            assert [one.status_code for one in await asyncio.gather(*first)] == [200] * 3
            assert (await ask("/recommend", json=BODY, headers=own)).status_code == 200

    asyncio.run(run())
    lines = [record.fields for record in caplog.records if record.message == "requests refused"]
    assert lines == [{"status": 429, "requests": 1, "admitted": 3}]


def test_pages_of_named_sites_can_read_a_refusal(folder, held_model):
    friend = "https://films.example"
    context = build_context([slot_for(folder)], batch_size=1, queue_size=1, cors_origins=(friend,))
    app = build_app(context)

    async def run():
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://localhost"
            ) as client,
        ):
            first = []
            for _ in range(2):  # one is computed, one waits
                first.append(asyncio.create_task(client.post("/recommend", json=BODY)))
                await asyncio.sleep(0.02)
            asking = {"access-control-request-method": "POST", "origin": friend}
            assert (await client.options("/recommend", headers=asking)).status_code == 200
            for _ in range(2):  # headers do not add up
                refused = await client.post("/recommend", headers={"origin": friend})
                assert refused.status_code == 429
                assert refused.headers.get_list("access-control-allow-origin") == [friend]
                shown = refused.headers["access-control-expose-headers"].casefold()
                assert {"retry-after", "x-request-id"} <= {*shown.split(", ")}
            stranger = await client.post("/recommend", headers={"origin": "https://evil.example"})
            assert stranger.status_code == 429
            assert "access-control-allow-origin" not in stranger.headers
            held_model.set()
            assert [one.status_code for one in await asyncio.gather(*first)] == [200] * 2

    asyncio.run(run())


def test_a_refused_connection_is_used_again(folder, held_model):
    """Refusals over a socket: whole requests, bodies in pieces, and several requests at once."""
    body, statuses = json.dumps(BODY).encode(), []
    head = b"POST /recommend HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += b"content-length: %d\r\n\r\n" % len(body)

    def ask(connection):
        connection.request("POST", "/recommend", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    with run_in_thread([slot_for(folder)], batch_size=1, queue_size=1) as url:
        address = url.removeprefix("http://")
        connections = [http.client.HTTPConnection(address) for _ in range(2)]
        waiting = [
            threading.Thread(target=lambda own=one: statuses.append(ask(own)[0]))
            for one in connections
        ]
        for thread in waiting:  # one is computed, one waits
            thread.start()
            time.sleep(0.1)
        connection = http.client.HTTPConnection(address)
        for _ in range(3):
            status, headers, content = ask(connection)
            assert (status, headers["retry-after"]) == (429, "1")
            assert "come back later" in json.loads(content)["detail"]
        connection.request("GET", "/health/live")
        assert connection.getresponse().read() == b'{"status":"live"}'
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(head + body[:4])
            raw.settimeout(0.2)
            with pytest.raises(TimeoutError):
                raw.recv(1)
            raw.settimeout(10)
            raw.sendall(body[4:] + (head + body) * 2)
            received = b""
            while received.count(b"come back later") < 3:
                received += raw.recv(4096)
            assert received.count(b"HTTP/1.1 429 Too Many Requests\r\n") == 3
            raw.sendall(head.replace(b"HTTP/1.1", b"HTTP/1.0") + body)
            while chunk := raw.recv(4096):  # as ever, it closes the connection
                received += chunk
            assert received.count(b"come back later") == 4
        held_model.set()
        for thread in waiting:
            thread.join()
        assert statuses == [200, 200] and ask(connection)[0] == 200
        metrics = http.client.HTTPConnection(address)
        metrics.request("GET", "/metrics")
        assert b"seqrec_refusals_total 7.0" in metrics.getresponse().read()
