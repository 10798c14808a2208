"""A long load at 90 % of capacity, then one at three times capacity, every answer checked."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.engine.rows import Row, at_most, row
from benchmarks.serving.checked_load import Outcome, run_load
from benchmarks.serving.servers import serve
from benchmarks.serving.world import exchanges, served_run

NAME = Path(__file__).stem
MODULE = "benchmarks.serving"
SECONDS = float(os.environ.get("SECONDS", 60))
CAPACITY_SECONDS = 10
OPENING_SECONDS = 5
"""Seconds of a load before its memory counts: its connections have to be open first."""
CONNECTIONS, MANY_CONNECTIONS = 64, 512
FLAT = at_most(0.02)


def measure(quick: bool) -> Iterator[Row]:
    """Errors, wrong answers, latencies and memory under both loads."""
    run = served_run()
    requests, seconds = exchanges(run), 5 if quick else SECONDS
    with serve(run, "--no-access-log") as server:
        closed = run_load(server.port, requests, connections=CONNECTIONS, seconds=CAPACITY_SECONDS)
        capacity = len(closed.seconds) / CAPACITY_SECONDS
        yield row(
            NAME, "capacity, 64 connections, checked", [capacity], "requests/s", module=MODULE
        )
        for work, factor, connections in (
            ("90 % of capacity", 0.9, CONNECTIONS),
            ("three times capacity", 3.0, MANY_CONNECTIONS),
        ):
            load = partial(
                run_load,
                server.port,
                requests,
                connections=connections,
                per_second=factor * capacity,
            )
            closed_mb = server.memory_mb
            load(seconds=OPENING_SECONDS)
            before = server.memory_mb
            outcome = load(seconds=seconds)
            yield _count_errors(f"{work}, {seconds:g} s", outcome)
            yield row(
                NAME,
                f"{work}: p99 of answers with lists",
                [outcome.percentile_ms(0.99)],
                "ms",
                note=f"p50 {outcome.percentile_ms(0.5):.1f} ms, {len(outcome.seconds):,} answers",
                module=MODULE,
            )
            after = server.memory_mb
            yield row(
                NAME,
                f"{work}: growth of memory",
                [after / before - 1],
                "share",
                target=FLAT,
                note=f"{before:.0f} MB to {after:.0f} MB; {closed_mb:.0f} MB before "
                f"{OPENING_SECONDS} s of the same load opened {connections} connections",
                module=MODULE,
            )


def _count_errors(work: str, outcome: Outcome) -> Row:
    """Return the row of answers that are neither right lists nor 429, and of lost requests."""
    others = sum(n for status, n in outcome.statuses.items() if status not in (200, 429))
    bad = others + outcome.wrong + outcome.lost + outcome.refused_connections
    return row(
        NAME,
        f"{work}: errors",
        [bad],
        "requests",
        target=at_most(0),
        note=f"{dict(outcome.statuses)}, wrong {outcome.wrong}, lost {outcome.lost}, "
        f"connections refused {outcome.refused_connections}",
        module=MODULE,
    )
