"""Reloads under load: no request fails, whichever way the reload is asked for."""

import os
import shutil
import signal
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.rows import Row, at_most, row
from benchmarks.serving.checked_load import run_load
from benchmarks.serving.servers import RunningServer, serve
from benchmarks.serving.world import exchanges, served_run

NAME = Path(__file__).stem
MODULE = "benchmarks.serving"
NUM_RELOADS = 50
PAUSE_SECONDS = 0.3
CONNECTIONS = 16


def measure(quick: bool) -> Iterator[Row]:
    """Failed requests during reloads by request, by signal, and by a pointer that moves."""
    run, number = served_run(), 6 if quick else NUM_RELOADS
    requests = exchanges(run)
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder) / name for name in ("a", "b")]
        for place, copy in enumerate(copies):
            shutil.copytree(run / "model", copy)
            note = copy / "README.md"  # which gives the copies other versions
            note.write_text(f"copy {place}\n", encoding="utf-8")
        pointer = Path(folder) / "current"
        pointer.symlink_to(copies[0])
        log = Path(folder) / "log"
        with serve(pointer, "--no-access-log", log=log) as server:
            thread = threading.Thread(target=_reload, args=(server, pointer, copies, number))
            thread.start()
            outcome = run_load(
                server.port,
                requests,
                connections=CONNECTIONS,
                seconds=number * (PAUSE_SECONDS + 0.35) + 1,
            )
            thread.join()
        loaded = log.read_text(encoding="utf-8").count('"event": "model loaded"') - 1
    others = sum(n for status, n in outcome.statuses.items() if status != 200)
    failed = others + outcome.lost + outcome.wrong + outcome.refused_connections
    yield row(
        NAME,
        f"{number} reloads under {CONNECTIONS} connections: failed requests",
        [failed],
        "requests",
        target=at_most(0),
        note=f"{len(outcome.seconds):,} answers by {len(outcome.versions)} versions, {loaded} "
        f"loads, p99 {outcome.percentile_ms(0.99):.0f} ms",
        module=MODULE,
    )


def _reload(server: RunningServer, pointer: Path, copies: list[Path], number: int) -> None:
    """Ask for reloads, in turns by request, by signal and by moving the pointer."""
    for place in range(number):
        new = pointer.with_name("new")
        new.symlink_to(copies[place % 2])
        os.replace(new, pointer)
        if place % 3 == 0:
            request = urllib.request.Request(f"{server.url}/admin/reload", method="POST")
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert answer.status == 200
        elif place % 3 == 1:
            server.process.send_signal(signal.SIGHUP)
        time.sleep(PAUSE_SECONDS)
