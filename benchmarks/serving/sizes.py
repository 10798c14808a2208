"""Latency of one history over catalogs of ten thousand to ten million simulated titles.

The index of a million titles takes minutes to build: it is measured once ``python -m
benchmarks.serving.simulated 1000000 build`` has built it. That of ten million would take hours.
"""

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.engine.prepared import FOLDER
from benchmarks.engine.rows import Row, at_least, at_most, row
from benchmarks.serving.servers import RunningServer
from benchmarks.serving.wrk import load

NAME = Path(__file__).stem
MODULE = "benchmarks.serving"
SIZES, QUICK_SIZES = (10**4, 10**5, 10**6, 10**7), (10**4,)
BUILT_AT_ONCE = 10**5
"""Largest catalog whose index is built within the measurement."""
MILLION = 10**6
SECONDS, HISTORY, NUM_HISTORIES, K = 5, 10, 200, 10
MAX_P99_MS, LEAST_RECALL = at_most(20), at_least(0.98)


def measure(quick: bool) -> Iterator[Row]:
    """p50 and p99 of a single connection, exact and by HNSW, and the recall of the latter."""
    for size in QUICK_SIZES if quick else SIZES:
        generator = np.random.default_rng(0)
        histories = generator.integers(0, size, (NUM_HISTORIES, HISTORY)).astype(str).tolist()
        bodies = [json.dumps({"history": one, "k": K}).encode() for one in histories]
        exact: list[set[str]] = []
        for retrieval in ("flat", "hnsw"):
            is_built = (FOLDER / "indexes" / f"hnsw-{size}" / "index.json").exists()
            if retrieval == "hnsw" and size > BUILT_AT_ONCE and not is_built:
                continue
            command = [sys.executable, "-m", "benchmarks.serving.simulated", str(size), retrieval]
            with RunningServer(command) as server:
                load(server.url, bodies, 1, 1)
                figures = load(server.url, bodies, 1, SECONDS)
                lists = _ask(server.url, histories)
                memory = server.memory_mb
            is_million = size == MILLION and retrieval == "hnsw"
            yield row(
                NAME,
                f"{size:,} titles: p99 of one history",
                [figures.p99_ms],
                "ms",
                system=retrieval,
                target=MAX_P99_MS if is_million else None,
                note=f"p50 {figures.p50_ms:.1f} ms; started in {server.start_seconds:.0f} s; "
                f"{memory:,.0f} MB",
                facts={"num_items": size, "retrieval": retrieval, "p50_ms": figures.p50_ms},
                module=MODULE,
            )
            if retrieval == "flat":
                exact = lists
                continue
            shared = [len(one & other) / K for one, other in zip(lists, exact, strict=True)]
            yield row(
                NAME,
                f"{size:,} titles: recall@{K} against exact",
                [float(np.mean(shared))],
                "share",
                system=retrieval,
                target=LEAST_RECALL,
                module=MODULE,
            )


def _ask(url: str, histories: list[list[str]]) -> list[set[str]]:
    """Return the items that a server lists after each history."""
    body = json.dumps({"histories": histories, "k": K}).encode()
    request = urllib.request.Request(f"{url}/recommend", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        lists = json.load(answer)["lists"]
    return [{row["item_id"] for row in one["recommendations"]} for one in lists]
