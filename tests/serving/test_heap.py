"""The heap of a server's process, counted by glibc's own report."""

import os
import subprocess
import sys

import pytest

COUNT_HEAPS = """
import ctypes, sys, threading
from seqrec.cli.heap import share_heap
if sys.argv[1] == "shared":
    share_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.fopen.restype = ctypes.c_void_p
barrier = threading.Barrier(4)
def allocate():
    barrier.wait()
    for _ in range(100):
        libc.malloc(10_000)
threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
report = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, report)
libc.fclose(report)
print(open(sys.argv[2]).read().count("<heap nr="))
"""


@pytest.mark.parametrize(
    ("way", "variables", "is_one"),
    [("shared", {}, True), ("own", {}, False), ("shared", {"MALLOC_ARENA_MAX": "8"}, False)],
)
def test_all_threads_share_a_heap_unless_somebody_chose_otherwise(tmp_path, way, variables, is_one):
    kept = {k: v for k, v in os.environ.items() if k not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")}
    command = [sys.executable, "-c", COUNT_HEAPS, way, str(tmp_path / "report.xml")]
    shown = subprocess.run(
        command, env=kept | variables, capture_output=True, text=True, check=True
    )
    assert (int(shown.stdout) == 1) == is_one
