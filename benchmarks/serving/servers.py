"""Servers as processes of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from benchmarks.engine.machine import ROOT
from benchmarks.engine.measure import Failed

START_SECONDS = 600
END_SECONDS = 30


class RunningServer:
    """A server on a free port, from entering the context until it is left."""

    def __init__(self, command: list[str], log: Path | None = None) -> None:
        """Store the command, whose first line of output ends with the server's address."""
        self._command = command
        self._log = log

    def __enter__(self) -> "RunningServer":
        with open(self._log or os.devnull, "wb") as errors:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        started = time.monotonic()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.start_seconds = time.monotonic() - started
        if "http://" not in line:
            raise Failed(f"{' '.join(self._command)}: did not start")
        self.url = line.split()[-1]
        self.port = int(self.url.rpartition(":")[2])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.end()

    def end(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    @property
    def memory_mb(self) -> float:
        """Resident memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


def serve(*arguments: object, log: Path | None = None) -> RunningServer:
    """Return a server of ``seqrec serve`` with these arguments."""
    command = [sys.executable, "-m", "seqrec", "serve", *map(str, arguments)]
    return RunningServer([*command, "--port", "0"], log)
