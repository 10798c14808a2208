"""Load by ``wrk``: the same requests over and over, on some connections."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine.measure import Failed
from benchmarks.engine.prepared import Missing

SCRIPT = """
local bodies = {%s}
local number = 0
request = function()
  number = number %% #bodies + 1
  return wrk.format("POST", "/recommend", {["content-type"] = "application/json"}, bodies[number])
end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\nFIGURES {"requests": %%d, "microseconds": %%d, "p50": %%d, '
    .. '"p99": %%d, "refused": %%d, "lost": %%d}\\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
"""


@dataclass(frozen=True)
class Figures:
    """The figures of a run of wrk."""

    per_second: float
    p50_ms: float
    p99_ms: float
    refused: int
    """Answers that are neither 200 nor a redirection."""
    lost: int
    """Errors of connections, and time-outs."""


def load(url: str, bodies: Sequence[bytes], connections: int, seconds: int) -> Figures:
    """Return the figures of a closed loop: each connection waits for its answer.

    Raises:
        Missing: wrk is not installed.
    """
    if shutil.which("wrk") is None:
        raise Missing("wrk: apt-get install wrk")
    quoted = ",\n".join("[==[" + body.decode() + "]==]" for body in bodies)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "requests.lua"
        script.write_text(SCRIPT % quoted, encoding="utf-8")
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
        done = subprocess.run(
            [*command, "-s", str(script), url], capture_output=True, text=True, check=False
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("FIGURES ")]
    if not lines:
        raise Failed(f"wrk: {done.stderr.strip()[:200]}")
    found = json.loads(lines[0].removeprefix("FIGURES "))
    return Figures(
        1e6 * found["requests"] / found["microseconds"],
        found["p50"] / 1000,
        found["p99"] / 1000,
        found["refused"],
        found["lost"],
    )
