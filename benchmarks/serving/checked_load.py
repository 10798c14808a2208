"""A load whose every answer is compared with the library's."""

import asyncio
import itertools
import json
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.serving.world import Exchange, K

TOLERANCE = 1e-3
"""Largest difference of scores in batches of other sizes."""
ANSWER_SECONDS = 20.0


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
    return asyncio.run(_run(port, exchanges, connections, seconds, per_second))


async def _run(
    port: int,
    exchanges: Sequence[Exchange],
    connections: int,
    seconds: float,
    per_second: float | None,
) -> Outcome:
    outcome, started = Outcome(), time.perf_counter()
    places = itertools.cycle(range(len(exchanges)))
    ticks = itertools.count()

    def next_start() -> float | None:
        """Return when the next request of the open loop is sent; None after the end."""
        at = started if per_second is None else started + next(ticks) / per_second
        is_over = max(at, time.perf_counter()) - started > seconds
        return None if is_over else at

    async def client() -> None:
        connection = None
        while (at := next_start()) is not None:
            await asyncio.sleep(max(at - time.perf_counter(), 0))
            try:
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                outcome.refused_connections += 1
                await asyncio.sleep(0.01)
                continue
            is_kept = await _exchange(connection, exchanges[next(places)], outcome)
            if not is_kept:
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return outcome


async def _exchange(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    exchange: Exchange,
    outcome: Outcome,
) -> bool:
    """Send a request, judge its answer, and return True if the connection can be used again."""
    reader, writer = connection
    head = (
        "POST /recommend HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(exchange.body)}\r\n\r\n"
    )
    sent = time.perf_counter()
    try:
        writer.write(head.encode() + exchange.body)
        async with asyncio.timeout(ANSWER_SECONDS):
            await writer.drain()
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            content = await reader.readexactly(int(headers["content-length"]))
    except (OSError, EOFError, TimeoutError):
        outcome.lost += 1
        return False
    status = int(lines[0].split()[1])
    outcome.statuses[status] += 1
    if status == 200:
        outcome.seconds.append(time.perf_counter() - sent)
        answer = json.loads(content)
        outcome.versions[answer["model"]["version"]] += 1
        rows = answer["lists"][0]["recommendations"]
        if not _is_right([(row["item_id"], row["score"]) for row in rows], exchange):
            outcome.wrong += 1
    return headers.get("connection") != "close"


def _is_right(rows: Sequence[tuple[str, float]], exchange: Exchange) -> bool:
    """Return True for the expected list, up to the order of scores that are nearly equal."""
    scores = dict(exchange.expected)
    places = zip(rows, exchange.expected, strict=False)
    return len(rows) == K and all(
        abs(score - scores.get(item_id, float("inf"))) < TOLERANCE
        and abs(score - expected) < TOLERANCE
        for (item_id, score), (_, expected) in places
    )
