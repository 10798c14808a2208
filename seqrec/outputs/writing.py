"""Output folders and files: written aside and moved into place when they are whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seqrec.errors import SeqRecError
from seqrec.outputs.existing import refuse_existing, refuse_existing_file
from seqrec.outputs.locks import describe_os_error, lock_unless_reserved
from seqrec.outputs.replacing import delete, swap_in


@contextmanager
def new_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder to write into, which becomes ``out`` at the end.

    Until then, and after a failure, ``out`` is unchanged. The next run clears the leftovers of a
    killed one.

    Raises:
        SeqRecError: ``out`` exists and ``overwrite`` is not set; it holds files that seqrec did
            not write; another process writes it; it cannot be written; the disk is full.
    """
    with _aside(out) as aside:
        refuse_existing(out, overwrite)
        aside.mkdir()
        yield aside
        swap_in(aside, out)


@contextmanager
def new_file(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """``new_folder`` for a single file."""
    with _aside(out) as aside:
        refuse_existing_file(out, overwrite)
        yield aside
        aside.replace(out)


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """Yield a path beside ``out``, while no other process writes it; what is left is deleted."""
    aside = out.parent / f".{out.name}.partial-{os.getpid()}"
    try:
        with lock_unless_reserved(out):
            try:
                yield aside
            finally:
                delete(aside)
    except OSError as error:
        raise SeqRecError(f"--out {out}: cannot be written: {describe_os_error(error)}") from error
