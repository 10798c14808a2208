"""One training run in several processes, started and watched by this one."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from seqrec.errors import SeqRecError

POLL_SECONDS = 0.1
STOP_SECONDS = 10
EXIT_MISTAKE, EXIT_INTERRUPTED = 2, 130


def run_ranks(num_ranks: int, module: str, arguments: dict[str, Any]) -> None:
    """Run ``python -m MODULE ARGUMENTS`` once for every rank, until all have ended.

    Lightning reads each rank from the environment; each process gets its part of the threads. If
    one fails, or this process is interrupted, the others are stopped.

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
            command, env={**shared, "LOCAL_RANK": str(rank)}, stdout=subprocess.PIPE, text=True
        )
        for rank in range(num_ranks)
    ]
    failed = None
    try:
        while failed is None and any(process.poll() is None for process in processes):
            time.sleep(POLL_SECONDS)
            failed = next((process for process in processes if process.poll()), None)
    finally:
        outputs = [_stop(process) for process in processes]
    if failed is not None:
        rank = processes.index(failed)
        raise SeqRecError(
            outputs[rank]
            or f"trainer.devices: process {rank} ended with exit code {failed.returncode}"
        )


def _stop(process: subprocess.Popen) -> str:
    """End a process if it still runs, and return its output."""
    if process.poll() is None:
        process.terminate()
    try:
        output, _ = process.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    return output.strip()


def work_as_rank(work: Callable[[int, dict[str, Any]], None]) -> None:
    """Do this process's part; print a user's mistake to stdout, where ``run_ranks`` reads it."""
    try:
        work(int(os.environ["LOCAL_RANK"]), json.loads(sys.argv[1]))
    except SeqRecError as error:
        print(error)
        sys.exit(EXIT_MISTAKE)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
