"""The log of stages: a JSON line per stage of the controller's work."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqrec.training.trackers import Tracker


class EventLog:
    """``events.jsonl``: stage, role, update, start and end in seconds of the run.

    The time between an interruption and the resumption does not count.
    """

    def __init__(
        self, file: Path, watch: Callable[[dict[str, Any]], None] = lambda line: None
    ) -> None:
        """Append to a file, or start a new one.

        Args:
            file: the log.
            watch: takes every new line.
        """
        self._file = file
        self._watch = watch
        self.started = time.time()

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds of the run and the length of the log."""
        return {"seconds": time.time() - self.started, "num_bytes": self._file.stat().st_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state: later lines are removed, as their stages are repeated."""
        self.started = time.time() - state["seconds"]
        with open(self._file, "r+b") as log:
            log.truncate(state["num_bytes"])

    @contextmanager
    def stage(self, name: str, update: int, role: str = "controller") -> Iterator[dict[str, Any]]:
        """Log the stage inside the context; the entries of the dictionary are added to its line."""
        counts: dict[str, Any] = {}
        start = time.time()
        try:
            yield counts
        finally:
            self.note(name, update, role, start, time.time(), **counts)

    def note(
        self, name: str, update: int, role: str, start: float, end: float, **counts: Any
    ) -> None:
        """Write the line of a stage that was timed elsewhere."""
        line = {
            "stage": name,
            "role": role,
            "update": update,
            "start": round(start - self.started, 6),
            "end": round(end - self.started, 6),
            **counts,
        }
        with open(self._file, "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        self._watch(line)


def read_events(file: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; a truncated last line is skipped."""
    lines = file.read_text(encoding="utf-8").splitlines()
    events = []
    for number, line in enumerate(lines):
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines) - 1:
                raise
    return events


def log_stage(tracker: Tracker, line: dict[str, Any]) -> None:
    """Repeat the measurements of a stage, named after it."""
    stage, named = line["stage"], ("stage", "role", "update", "start", "end")
    values = {f"{stage}/{key}": value for key, value in line.items() if key not in named}
    tracker.log(values, line["update"])
