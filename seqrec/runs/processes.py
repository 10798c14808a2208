"""One training run in several processes, started and watched by this one."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from seqrec.errors import SeqRecError

POLL_SECONDS = 0.1
STOP_SECONDS = 30
"""Seconds that a process has to write a checkpoint and to end."""
KEPT_LINES = 20
STDIN = 0
EXIT_MISTAKE, EXIT_INTERRUPTED = 2, 130


def run_ranks(num_ranks: int, module: str, arguments: dict[str, Any]) -> None:
    """Run ``python -m MODULE ARGUMENTS`` once for every rank, until all have ended.

    Lightning reads each rank from the environment; each process gets its part of the threads. If
    one fails, or this process is interrupted, the others are stopped. If this process is killed,
    they end as well: each watches its standard input, which closes then.

    Raises:
        SeqRecError: the message of the first process that failed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(num_ranks),
        "NODE_RANK": "0",
        "OMP_NUM_THREADS": str(max(torch.get_num_threads() // num_ranks, 1)),
    }
    command = [sys.executable, "-m", module, json.dumps(arguments)]
    processes = [
        subprocess.Popen(
            command,
            env={**shared, "LOCAL_RANK": str(rank)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        for rank in range(num_ranks)
    ]
    outputs = [_Output(process) for process in processes]
    failed = None
    try:
        while failed is None and any(process.poll() is None for process in processes):
            time.sleep(POLL_SECONDS)
            failed = next((process for process in processes if process.poll()), None)
    finally:
        _stop(processes)
    if failed is None:
        return
    if failed.returncode == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    rank = processes.index(failed)
    message = outputs[rank].last_line() if failed.returncode == EXIT_MISTAKE else ""
    raise SeqRecError(
        message or f"trainer.devices: process {rank} ended with exit code {failed.returncode}"
    )


class _Output:
    """The last lines of a process's output, which is read while it runs."""

    def __init__(self, process: subprocess.Popen) -> None:
        """Start to read; a process whose output nobody reads stops at a full pipe."""
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._thread = threading.Thread(
            target=self._lines.extend, args=(process.stdout,), daemon=True
        )
        self._thread.start()

    def last_line(self) -> str:
        """Return the last line that is not empty, after the process has ended."""
        self._thread.join(STOP_SECONDS)
        lines = [line.strip() for line in list(self._lines)]
        return next((line for line in reversed(lines) if line), "")


def _stop(processes: list[subprocess.Popen]) -> None:
    """End the processes that still run, all together."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    end = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(end - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def work_as_rank(work: Callable[[int, dict[str, Any]], None]) -> None:
    """Do this process's part; print a user's mistake to stdout, where ``run_ranks`` reads it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        work(int(os.environ["LOCAL_RANK"]), json.loads(sys.argv[1]))
    except SeqRecError as error:
        print(error)
        sys.exit(EXIT_MISTAKE)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _end_with_parent() -> None:
    """Wait until the parent has ended, and end at once: nobody reads the result."""
    while os.read(STDIN, 1024):
        pass
    os._exit(EXIT_INTERRUPTED)
