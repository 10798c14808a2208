"""A load whose every answer is compared with the library's."""

import asyncio
import itertools
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import uvloop

from benchmarks.serving.world import Exchange, K

TOLERANCE = 1e-3
"""Largest difference of scores in batches of other sizes."""
ANSWER_SECONDS = 20.0
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
CLOSES = re.compile(rb"\r\nconnection: close\r\n", re.IGNORECASE)


@dataclass
class Outcome:
    """The outcome of the requests of a load."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    """Answers that are not those of the library."""
    lost: int = 0
    """Requests that were sent and never answered."""
    refused_connections: int = 0
    seconds: list[float] = field(default_factory=list)
    """Latencies of the answers with lists."""
    versions: Counter[str] = field(default_factory=Counter)
    """The versions of the models that answered."""
    judged: dict[int, str] = field(default_factory=dict)
    """Versions of the answers that were right, by a hash of request and answer; equal ones are not
    read again."""

    def percentile_ms(self, share: float) -> float:
        """Return a percentile of the latencies, in milliseconds."""
        if len(self.seconds) < 2:
            return float("nan")
        return 1000 * statistics.quantiles(self.seconds, n=1000)[round(1000 * share) - 1]


def run_load(
    port: int,
    exchanges: Sequence[Exchange],
    *,
    connections: int,
    seconds: float,
    per_second: float | None = None,
) -> Outcome:
    """Return the outcome of a load.

    Args:
        port: the server's.
        exchanges: requests and what answers them.
        connections: number of connections.
        seconds: how long requests are sent.
        per_second: rate of an open loop; None: each connection waits for its answer.
    """
    return uvloop.run(_run(port, exchanges, connections, seconds, per_second))


async def _run(
    port: int,
    exchanges: Sequence[Exchange],
    connections: int,
    seconds: float,
    per_second: float | None,
) -> Outcome:
    outcome, started = Outcome(), time.perf_counter()
    places = itertools.cycle(range(len(exchanges)))
    ticks, loop = itertools.count(), asyncio.get_running_loop()
    requests = [_format(exchange) for exchange in exchanges]

    def next_start() -> float | None:
        """Return when the next request of the open loop is sent; None after the end."""
        due = 0.0 if per_second is None else next(ticks) / per_second
        is_over = max(due, time.perf_counter() - started) >= seconds
        return None if is_over else started + due

    async def client() -> None:
        connection = None
        while (at := next_start()) is not None:
            await asyncio.sleep(max(at - time.perf_counter(), 0))
            try:
                if connection is None or connection.is_closed:
                    _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
            except OSError:
                outcome.refused_connections += 1
                await asyncio.sleep(0.01)
                continue
            place, sent = next(places), time.perf_counter()
            answer = await connection.send(requests[place])
            if answer is None:
                outcome.lost += 1
                connection = None
                continue
            outcome.statuses[answer.status] += 1
            if answer.status == 200:
                outcome.seconds.append(time.perf_counter() - sent)
                _judge(answer.content, place, exchanges[place], outcome)
            if not answer.is_kept:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return outcome


def _format(exchange: Exchange) -> bytes:
    """Return a request as it is sent."""
    head = (
        "POST /recommend HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(exchange.body)}\r\n\r\n"
    )
    return head.encode() + exchange.body


class _Answer(NamedTuple):
    """An answer that arrived whole."""

    status: int
    content: bytes
    is_kept: bool
    """The connection can be used again."""


class _Connection(asyncio.Protocol):
    """A connection with one request at a time; the load should take a small part of the cores."""

    def __init__(self) -> None:
        self._received = b""
        self._length: int | None = None
        self._waiting: asyncio.Future[_Answer | None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._length is None:
            end = self._received.find(b"\r\n\r\n")
            found = CONTENT_LENGTH.search(self._received, 0, end + 2)
            if end < 0 or found is None:
                return
            self._start, self._length = end + 4, int(found[1])
        if len(self._received) >= self._start + self._length:
            head, content = self._received[: self._start], self._received[self._start :]
            self._received, self._length = b"", None
            status = int(head.split(None, 2)[1])
            self._finish(_Answer(status, content, CLOSES.search(head) is None))

    def connection_lost(self, error: Exception | None) -> None:
        self._finish(None)

    @property
    def is_closed(self) -> bool:
        return self._transport.is_closing()

    async def send(self, request: bytes) -> _Answer | None:
        """Return the answer to a request; None if the connection ended, or after a time limit."""
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        limit = loop.call_later(ANSWER_SECONDS, self.close)
        self._transport.write(request)
        try:
            return await self._waiting
        finally:
            limit.cancel()

    def close(self) -> None:
        self._transport.close()

    def _finish(self, answer: _Answer | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)


def _judge(content: bytes, place: int, exchange: Exchange, outcome: Outcome) -> None:
    """Count an answer by its model, and as wrong if it is not the library's."""
    key = hash((place, content))
    version = outcome.judged.get(key)
    if version is None:
        answer = json.loads(content)
        version = answer["model"]["version"]
        rows = answer["lists"][0]["recommendations"]
        if _is_right([(row["item_id"], row["score"]) for row in rows], exchange):
            outcome.judged[key] = version
        else:
            outcome.wrong += 1
    outcome.versions[version] += 1


def _is_right(rows: Sequence[tuple[str, float]], exchange: Exchange) -> bool:
    """Return True for the expected list, up to the order of scores that are nearly equal."""
    scores = dict(exchange.expected)
    places = zip(rows, exchange.expected, strict=False)
    return len(rows) == K and all(
        abs(score - scores.get(item_id, float("inf"))) < TOLERANCE
        and abs(score - expected) < TOLERANCE
        for (item_id, score), (_, expected) in places
    )
