"""Requests a second and latencies at 1, 8 and 64 connections: batched, one by one, by ONNX."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.rows import Row, at_least, row
from benchmarks.serving.servers import serve
from benchmarks.serving.world import exchanges, served_run
from benchmarks.serving.wrk import Figures, load

NAME = Path(__file__).stem
MODULE = "benchmarks.serving"
CONNECTIONS = (1, 8, 64)
SECONDS, QUICK_SECONDS, WARM_SECONDS = 8, 3, 2
SYSTEMS = {
    "one by one": ("--batch-size", "1"),
    "batched": (),
    "batched, onnx": ("--engine", "onnx"),
}
FASTER = at_least(2)


def measure(quick: bool) -> Iterator[Row]:
    """Each server under each load; ratios are to the server before it in the table."""
    run = served_run()
    bodies = [exchange.body for exchange in exchanges(run)]
    found: dict[tuple[str, int], Figures] = {}
    systems = list(SYSTEMS)
    for system, options in SYSTEMS.items():
        with serve(run, "--no-access-log", *options) as server:
            load(server.url, bodies, 8, WARM_SECONDS)
            for connections in CONNECTIONS:
                seconds = QUICK_SECONDS if quick else SECONDS
                found[system, connections] = load(server.url, bodies, connections, seconds)
        for connections in CONNECTIONS:
            figures, place = found[system, connections], systems.index(system)
            before = found.get((systems[place - 1], connections)) if place else None
            note = f"p50 {figures.p50_ms:.1f} ms, p99 {figures.p99_ms:.1f} ms"
            if figures.refused or figures.lost:
                note += f"; {figures.refused} refused, {figures.lost} lost"
            yield row(
                NAME,
                f"{connections} connections",
                [figures.per_second],
                "requests/s",
                system=system,
                ratio=figures.per_second / before.per_second if before else None,
                target=FASTER if before and connections == max(CONNECTIONS) else None,
                note=note,
                module=MODULE,
            )
