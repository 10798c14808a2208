"""Computations that hand out their long steps, so that these may run in another thread."""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")

Steps = Generator[Callable[[], Any], Any, T]
"""Yields functions, and gets their results; the return value is that of the computation."""


def run_steps(steps: Steps[T]) -> T:
    """Return the value of a computation whose steps are called here."""
    try:
        step = next(steps)
        while True:
            try:
                result = step()
            except Exception as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as end:
        return end.value
