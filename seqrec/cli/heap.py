"""The heap of a process that serves."""

import ctypes
import os
import sys

ARENA_MAX = -8
"""``M_ARENA_MAX`` of glibc's ``malloc.h``."""
VARIABLES = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")
"""Variables by which somebody has chosen already."""


def share_heap() -> None:
    """Let all threads allocate from one heap, where the C library is glibc.

    By default each thread gets a heap of its own. What batches need for their tensors is then held
    as often as there are threads that have computed or loaded a model, and none of it is given
    back. The number is fixed once a second thread has allocated: this comes before the libraries
    that start threads are loaded.
    """
    if sys.platform != "linux" or any(name in os.environ for name in VARIABLES):
        return
    try:
        ctypes.CDLL(None).mallopt(ARENA_MAX, 1)
    except AttributeError:  # another C library
        return
