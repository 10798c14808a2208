"""What the controller did and when: a line of JSON a stage."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class EventLog:
    """``events.jsonl``: stage, role, update, start and end in seconds of the run.

    The time between a run's interruption and its resumption is not the run's.
    """

    def __init__(self, file: Path) -> None:
        """Go on at the end of a file, or begin one."""
        self._file = file
        self.started = time.time()

    def state_dict(self) -> dict[str, Any]:
        """How long the run has taken, and how long the log is."""
        return {"seconds": time.time() - self.started, "num_bytes": self._file.stat().st_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there: lines that were written later are done again."""
        self.started = time.time() - state["seconds"]
        with open(self._file, "r+b") as log:
            log.truncate(state["num_bytes"])

    @contextmanager
    def stage(self, name: str, update: int, role: str = "controller") -> Iterator[dict[str, Any]]:
        """Note what happens inside; what is put into the dictionary stands in its line."""
        counts: dict[str, Any] = {}
        start = time.time()
        try:
            yield counts
        finally:
            self.note(name, update, role, start, time.time(), **counts)

    def note(
        self, name: str, update: int, role: str, start: float, end: float, **counts: Any
    ) -> None:
        """A line for what happened elsewhere: another role's own clock."""
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


def read_events(file: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last one that was cut short is left out."""
    lines = file.read_text(encoding="utf-8").splitlines()
    found = []
    for number, line in enumerate(lines):
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines) - 1:
                raise
    return found
