"""SFT of all weights, kept in float32, on the chats of ``sft``."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.rows import Row
from benchmarks.language.sft import rows_of

NAME = Path(__file__).stem


def measure(quick: bool) -> Iterator[Row]:
    """Rows by system."""
    yield from rows_of(NAME, "all weights", False, quick)
