"""The device that is checked, and the rows of its results."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine.machine import forget_peak, memory_mb, peak_memory_mb
from benchmarks.engine.rows import Row, Target, at_least, at_most, row

MODULE = "benchmarks.gpu"
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MB = 2**20


@dataclass(frozen=True)
class Place:
    """The device under test and the work that is done on it."""

    device: torch.device
    is_small: bool
    """The sizes are those of a test, not of a measurement."""
    folder: Path
    """Scratch folder for data and runs."""
    ends_at: float = field(default=float("inf"))
    """No new work starts after this ``time.monotonic()``."""

    @property
    def name(self) -> str:
        """The name of the device."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return platform.processor() or platform.machine()

    @property
    def accelerator(self) -> str:
        """The recipe's name of the device."""
        return "gpu" if self.device.type == "cuda" else "cpu"

    @property
    def is_over(self) -> bool:
        """No time is left."""
        return time.monotonic() > self.ends_at

    def synchronize(self) -> None:
        """Wait until the device has done its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def start_memory(self) -> float:
        """Start a new peak, and return the MiB that are held now."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            return torch.cuda.memory_allocated(self.device) / MB
        forget_peak()
        return memory_mb()

    def get_peak_mb(self) -> float:
        """Return the most MiB that were held since ``start_memory``."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / MB
        return peak_memory_mb()

    def time_calls(self, call: Callable[[], object], num_calls: int) -> list[float]:
        """Return the seconds of each call after one that warms up."""
        seconds = []
        for _ in range(1 + num_calls):
            self.synchronize()
            started = time.perf_counter()
            call()
            self.synchronize()
            seconds.append(time.perf_counter() - started)
        return seconds[1:]

    def check_at_most(self, name: str, work: str, value: float, bound: float, **more: Any) -> Row:
        """Return the row of a check whose value must not exceed a bound; NaN exceeds it."""
        return self._row(name, work, [value if value == value else 1e9], at_most(bound), **more)

    def check_at_least(self, name: str, work: str, value: float, bound: float, **more: Any) -> Row:
        """Return the row of a check whose value must reach a bound; NaN does not."""
        return self._row(name, work, [value if value == value else -1e9], at_least(bound), **more)

    def figure(self, name: str, work: str, runs: list[float], unit: str, **more: Any) -> Row:
        """Return the row of a measurement, which has no bound."""
        return self._row(name, work, runs, None, unit=unit, **more)

    def _row(
        self,
        name: str,
        work: str,
        runs: list[float],
        target: Target | None,
        *,
        unit: str = "",
        system: str = "seqrec",
        note: str = "",
        ratio: float | None = None,
    ) -> Row:
        return row(
            name,
            work,
            runs,
            unit,
            system=system,
            target=target,
            note=note,
            ratio=ratio,
            facts={"device": self.name},
            module=MODULE,
        )
