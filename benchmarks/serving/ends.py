"""SIGTERM under load: every request that was accepted is answered."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.rows import Row, at_most, row
from benchmarks.serving.checked_load import run_load
from benchmarks.serving.servers import serve
from benchmarks.serving.world import exchanges, served_run

NAME = Path(__file__).stem
MODULE = "benchmarks.serving"
NUM_ENDS = 20
LOAD_SECONDS, END_AFTER = 2.5, 0.7
CONNECTIONS = 32
DRAIN_SECONDS = "0.5"


def measure(quick: bool) -> Iterator[Row]:
    """Requests that were sent and never answered, and exit codes, over several servers."""
    run, number = served_run(), 2 if quick else NUM_ENDS
    requests = exchanges(run)
    lost = wrong = answered = 0
    codes = set()
    for _ in range(number):
        with serve(run, "--no-access-log", "--drain", DRAIN_SECONDS) as server:

            def end() -> None:
                time.sleep(END_AFTER)
                codes.add(server.end())  # noqa: B023 (joined below)

            thread = threading.Thread(target=end)
            thread.start()
            outcome = run_load(server.port, requests, connections=CONNECTIONS, seconds=LOAD_SECONDS)
            thread.join()
        lost += outcome.lost
        wrong += outcome.wrong + sum(outcome.statuses.values()) - outcome.statuses[200]
        answered += outcome.statuses[200]
    yield row(
        NAME,
        f"{number} times SIGTERM under {CONNECTIONS} connections: requests lost or failed",
        [lost + wrong],
        "requests",
        target=at_most(0),
        note=f"{answered:,} answered, {lost} lost, {wrong} failed, exit codes {sorted(codes)}",
        module=MODULE,
    )
