"""A measurement in a process of its own, so that memory and threads are its own, too."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from benchmarks.engine.machine import ROOT, threads


class Failed(Exception):
    """A measured process that ended with an error."""


def in_fresh_process(name: str, **arguments: Any) -> dict[str, Any]:
    """The result of a module's ``probe(**arguments)`` in a separate process.

    A name without a dot is a module of this package.

    ``process_seconds``, from its start to its end, comes with the answer.
    """
    command = [sys.executable, "-m", "benchmarks.engine.measure", name, json.dumps(arguments)]
    started = time.perf_counter()
    answer = json.loads(last_line(command))
    return {**answer, "process_seconds": time.perf_counter() - started}


def last_line(command: Sequence[str]) -> str:
    """The last line that a command prints; it runs at the root of the repository.

    Raises:
        Failed: it could not be started, or ended with an error.
    """
    env = {**os.environ, "OMP_NUM_THREADS": str(threads())}
    try:
        done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        raise Failed(error.strerror) from error
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise Failed(f"exit code {done.returncode}")
    return lines[-1]


if __name__ == "__main__":
    name = sys.argv[1] if "." in sys.argv[1] else f"benchmarks.engine.{sys.argv[1]}"
    print(json.dumps(import_module(name).probe(**json.loads(sys.argv[2]))))
