"""One training run in several processes: this one is the first and starts the others."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

STOP_SECONDS = 10


@contextmanager
def other_ranks(num_ranks: int, module: str, arguments: dict[str, Any]) -> Iterator[None]:
    """While this process works as rank 0, the others run ``python -m MODULE ARGUMENTS``.

    Lightning finds its place among them in the environment; each gets its part of the threads.
    Processes that are left when the block ends are stopped.
    """
    if num_ranks == 1:
        yield
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = torch.get_num_threads()
    before = dict(os.environ)
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(num_ranks),
        "NODE_RANK": "0",
        "OMP_NUM_THREADS": str(max(threads // num_ranks, 1)),
    }
    command = [sys.executable, "-m", module, json.dumps(arguments)]
    others = [
        subprocess.Popen(command, env={**before, **shared, "LOCAL_RANK": str(rank)})
        for rank in range(1, num_ranks)
    ]
    os.environ.update(shared, LOCAL_RANK="0")
    torch.set_num_threads(max(threads // num_ranks, 1))
    try:
        yield
        for other in others:
            other.wait(STOP_SECONDS)
    finally:
        for other in others:
            if other.poll() is None:
                other.terminate()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        torch.set_num_threads(threads)
        os.environ.clear()
        os.environ.update(before)
