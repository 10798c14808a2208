"""Optional packages of stores."""

from collections.abc import Iterator
from contextlib import contextmanager

from seqrec.errors import SeqRecError


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Turn a missing package, imported within the block, into the line that installs it."""
    try:
        yield
    except ImportError as error:
        name = error.name or extra
        raise SeqRecError(
            f"{extra}: needs the package {name}; install it with pip install 'seqrec[{extra}]'"
        ) from error
