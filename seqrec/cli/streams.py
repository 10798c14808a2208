"""The streams of the process: results alone on standard output, and ends that nobody reads."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TextIO

P = ParamSpec("P")

_RESULTS: ContextVar[TextIO | None] = ContextVar("results", default=None)


class _Lines(io.TextIOWrapper):
    """Standard error: lines that cannot be written are lost, and the work goes on."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            return


def open_streams() -> None:
    """Make the process's streams ready: closed ones lead nowhere, any text can be written.

    A letter that the terminal's encoding lacks is replaced.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # the lowest free number is this one
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _Lines(
            sys.stderr.buffer, sys.stderr.encoding, errors="replace", line_buffering=True
        )


def results_alone(verb: Callable[P, None]) -> Callable[P, None]:
    """Return the verb with everything that libraries print on standard error."""

    @wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with _take_results(sys.stdout), redirect_stdout(sys.stderr):
            verb(*args, **kwargs)

    return run


@contextmanager
def _take_results(stream: TextIO) -> Iterator[None]:
    token = _RESULTS.set(stream)
    try:
        yield
    finally:
        _RESULTS.reset(token)


def get_results_stream() -> TextIO:
    """Return the stream of a verb's results, the standard output of the process."""
    return _RESULTS.get() or sys.stdout


def discard_unwritten() -> None:
    """Drop results that nobody takes any more, so that the interpreter's end is quiet."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
