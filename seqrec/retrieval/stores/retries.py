"""Operations on a store that may be unreachable for a while."""

import time
from collections.abc import Callable
from typing import TypeVar

from seqrec.errors import SeqRecError, first_line

T = TypeVar("T")

ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.25
"""Pause after the first failure; it doubles after each further one."""


def call_with_retries(
    do: Callable[[], T],
    label: str,
    secret: str | None,
    is_transient: Callable[[Exception], bool],
    pause: Callable[[float], None] = time.sleep,
) -> T:
    """Return the result of an operation that may be repeated.

    Clients raise errors of many classes, some of which name no common one, so every error ends in
    one line.

    Args:
        do: the operation; doing it twice has the effect of doing it once.
        label: the store, for messages.
        secret: text that no message may hold.
        is_transient: tells errors after which it is tried again.
        pause: waits for a number of seconds.

    Raises:
        SeqRecError: the operation failed, every time it was tried.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return do()
        except SeqRecError:
            raise
        except Exception as error:
            if attempt < ATTEMPTS and is_transient(error):
                pause(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
                continue
            raise refuse(error, label, secret) from error
    raise AssertionError("the last attempt returns or raises")


def refuse(error: Exception, label: str, secret: str | None) -> SeqRecError:
    """Return an error of a store's client as one line without passwords."""
    cause = first_line(error)
    if secret:
        cause = cause.replace(secret, "***")
    return SeqRecError(f"{label}: {cause}; check the address, the server and its rights")
