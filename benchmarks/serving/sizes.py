"""Latency of one history over a catalog of simulated titles: exact, and by HNSW.

The index of a million titles takes a quarter of an hour to build: it is measured once ``python -m
benchmarks.serving.simulated 1000000 build`` has built it. That of ten million would take hours.
"""

import json
import sys
import urllib.request
from collections.abc import Iterator

import numpy as np

from benchmarks.engine.prepared import FOLDER, Missing
from benchmarks.engine.rows import Row, at_least, at_most, row
from benchmarks.serving.servers import RunningServer
from benchmarks.serving.wrk import load

MODULE = "benchmarks.serving"
SIZES = {f"titles-1e{digits}": 10**digits for digits in (4, 5, 6, 7)}
"""Measurements and the numbers of their titles."""
QUICK_SIZE = 10**4
BUILT_AT_ONCE = 10**5
"""Largest catalog whose index is built within the measurement."""
MILLION = 10**6
SECONDS, SECONDS_OF_LARGEST = 5, 30
HISTORY, NUM_HISTORIES, ASKED_TOGETHER, K = 10, 200, 20, 10
MAX_P99_MS, LEAST_RECALL = at_most(20), at_least(0.98)


def measure(name: str, quick: bool) -> Iterator[Row]:
    """p50 and p99 of a single connection, exact and by HNSW, and the recall of the latter."""
    size = QUICK_SIZE if quick else SIZES[name]
    generator = np.random.default_rng(0)
    histories = generator.integers(0, size, (NUM_HISTORIES, HISTORY)).astype(str).tolist()
    bodies = [json.dumps({"history": one, "k": K}).encode() for one in histories]
    exact: list[set[str]] = []
    for retrieval in ("flat", "hnsw"):
        is_built = (FOLDER / "indexes" / f"hnsw-{size}" / "index.json").exists()
        if retrieval == "hnsw" and size > BUILT_AT_ONCE and not is_built:
            raise Missing(f"its HNSW index: python -m {MODULE}.simulated {size} build")
        command = [sys.executable, "-m", f"{MODULE}.simulated", str(size), retrieval]
        with RunningServer(command) as server:
            load(server.url, bodies, 1, 1)
            seconds = SECONDS if size <= MILLION else SECONDS_OF_LARGEST
            figures = load(server.url, bodies, 1, seconds)
            lists = _ask(server.url, histories) if size <= MILLION else []
            memory = server.memory_mb
        yield row(
            name,
            f"{size:,} titles: p99 of one history",
            [figures.p99_ms],
            "ms",
            system=retrieval,
            target=MAX_P99_MS if size == MILLION and retrieval == "hnsw" else None,
            note=f"p50 {figures.p50_ms:.1f} ms; started in {server.start_seconds:.0f} s; "
            f"{memory:,.0f} MB",
            facts={"num_items": size, "retrieval": retrieval, "p50_ms": figures.p50_ms},
            module=MODULE,
        )
        if retrieval == "flat":
            exact = lists
        elif lists:
            shared = [len(one & other) / K for one, other in zip(lists, exact, strict=True)]
            yield row(
                name,
                f"{size:,} titles: recall@{K} against exact",
                [float(np.mean(shared))],
                "share",
                system=retrieval,
                target=LEAST_RECALL,
                module=MODULE,
            )


def _ask(url: str, histories: list[list[str]]) -> list[set[str]]:
    """Return the items that a server lists after each history."""
    found: list[set[str]] = []
    for start in range(0, len(histories), ASKED_TOGETHER):
        body = json.dumps({"histories": histories[start : start + ASKED_TOGETHER], "k": K}).encode()
        request = urllib.request.Request(
            f"{url}/recommend", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            lists = json.load(answer)["lists"]
        found += [{row["item_id"] for row in one["recommendations"]} for one in lists]
    return found
