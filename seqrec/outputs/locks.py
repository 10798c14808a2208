"""One process writes an output at a time."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from filelock import FileLock, Timeout

from seqrec.errors import SeqRecError
from seqrec.outputs.replacing import clear_leftovers, is_half_replaced

_WAIT_SECONDS = 0.2
"""Time for a process that ends just now."""
_OWNER_LETTERS = 80
_RESERVED: ContextVar[frozenset[Path]] = ContextVar("reserved", default=frozenset())
"""Outputs that the verb at work holds the locks of."""


@contextmanager
def lock_output(out: Path) -> Iterator[None]:
    """Hold the right to write ``out``, ``OUT.partial`` included.

    What a killed process left beside it is deleted. The operating system holds the lock of
    ``.OUT.lock`` beside it and releases it when the process ends, however it ends: a lock is never
    stale, and a process id that is used again does not matter. Its holder alone unlinks the file,
    before the release; who had opened it by then gets no lock of it and tries again.

    Raises:
        SeqRecError: another process holds it.
        OSError: the folder of ``out`` cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.parent / f".{out.name}.lock"
    lock = FileLock(file, timeout=_WAIT_SECONDS, thread_local=False)
    try:
        lock.acquire()
    except (Timeout, NotImplementedError) as error:
        if not file.exists():
            raise FileNotFoundError(errno.ENOENT, "no file can be made there", str(file)) from error
        raise SeqRecError(
            f"--out {out}: {_read_owner(file)} is writing it; wait for its end, or name another"
        ) from error
    try:
        with suppress(OSError):  # a full disk: the lock holds without a name
            file.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        clear_leftovers(out)
        yield
    finally:
        with suppress(OSError):  # Windows deletes no file that is open
            file.unlink()
        lock.release()


def settle_output(out: Path) -> None:
    """Finish the replacement of ``out`` in which a process was killed.

    Raises:
        SeqRecError: another process writes it.
    """
    if is_half_replaced(out):
        with lock_output(out):
            pass


@contextmanager
def reserve_output(out: Path | None) -> Iterator[None]:
    """Hold the lock of ``out`` while a verb reads and computes what it writes there at the end.

    ``new_folder`` and ``new_file`` within take no lock of their own for it.

    Args:
        out: the output; None: there is none.

    Raises:
        SeqRecError: another process writes it, or its folder cannot be written.
    """
    if out is None:
        yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(lock_output(out))
        except OSError as error:
            reason = describe_os_error(error)
            raise SeqRecError(f"--out {out}: cannot be written: {reason}") from error
        token = _RESERVED.set(_RESERVED.get() | {out})
        stack.callback(_RESERVED.reset, token)
        yield


@contextmanager
def lock_unless_reserved(out: Path) -> Iterator[None]:
    """``lock_output``, but for an output that the verb at work has reserved."""
    if out in _RESERVED.get():
        yield
        return
    with lock_output(out):
        yield


def describe_os_error(error: OSError) -> str:
    """The operating system's message, in one line."""
    return error.strerror or " ".join(str(error).split())


def _read_owner(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")[:_OWNER_LETTERS].strip()
    except (OSError, ValueError):
        text = ""
    return text if text.startswith("process ") else "another process"
