"""The exception for all mistakes of users, and the limits of its message."""

from collections.abc import Iterator
from contextlib import contextmanager

MESSAGE_LETTERS = 600
"""Longest message; what exceeds it is cut out of the middle, so that cause and fix remain."""
VALUE_LETTERS = 100
"""Longest value that ``quote`` shows."""


class SeqRecError(Exception):
    """A mistake in input, options or files, described in one line.

    The message names the cause (the file, column, key or option) and the fix.
    The command line prints it after ``seqrec:`` and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message, MESSAGE_LETTERS))


def shorten(text: str, letters: int) -> str:
    """Return the text in one line, without its middle if it is longer than ``letters``."""
    line = " ".join(text.split()) if any(end in text for end in "\n\r\v\f\x1c\x85\u2028") else text
    if len(line) <= letters:
        return line
    half = (letters - 3) // 2
    return f"{line[:half]}...{line[-half:]}"


def quote(value: object) -> str:
    """Return a value as Python writes it, in one line that is not long."""
    try:
        return shorten(repr(value), VALUE_LETTERS)
    except (RecursionError, ValueError):  # too deep, or an integer of too many digits
        return f"a large {type(value).__name__}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def refuse_unreadable(name: str, fix: str) -> Iterator[None]:
    """Turn everything that goes wrong while a file is read into one ``SeqRecError``.

    Readers of formats that others define enter this block once, around all that they do with the
    bytes: their libraries raise errors of many classes, some of which name no common one.

    Args:
        name: the file or folder.
        fix: what the user can do about it.
    """
    try:
        yield
    except SeqRecError:
        raise
    except FileNotFoundError as error:
        raise SeqRecError(f"{error.filename or name}: no such file; {fix}") from error
    except MemoryError as error:
        raise SeqRecError(f"{name}: needs more memory than there is; {fix}") from error
    except Exception as error:
        raise SeqRecError(f"{name}: cannot be read: {first_line(error)}; {fix}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # polars' own, which is no Exception
            raise
        raise SeqRecError(f"{name}: cannot be read: {first_line(error)}; {fix}") from error
