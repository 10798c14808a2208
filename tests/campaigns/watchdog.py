"""Cases in a process of their own, which is replaced when it hangs, dies or takes much memory."""

import multiprocessing
import os
import resource
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from seqrec.errors import SeqRecError
from tests.campaigns.runner import Verdict

MAX_SECONDS = 60
MAX_MEMORY_BYTES = 4 << 30
MAX_KEPT_BYTES = MAX_MEMORY_BYTES // 2
"""Above it, the next case has a new process: allocators keep what a case has freed."""
MAX_LETTERS = 1000
SMALL = 4000
"""Longest traceback that a verdict keeps, from its end."""

Subject = Callable[[np.random.Generator, Path], Any]
"""Makes one bad input and reads it; a ``SeqRecError`` or a result are both right."""


class Watched:
    """Runs subjects in a new process under limits of time and memory."""

    def __init__(self, build: Callable[[], dict[str, Subject]]) -> None:
        self.build = build
        self._process: Any = None
        self._pipe: Connection | None = None

    def judge(self, kind: str, generator: np.random.Generator, folder: Path) -> Verdict:
        """Return the verdict of one case of a kind."""
        if self._process is None:
            self._start()
        assert self._pipe is not None
        self._pipe.send((kind, generator, folder))
        try:
            if self._pipe.poll(MAX_SECONDS):
                result, has_room = self._pipe.recv()
                if not has_room:
                    self.close()
                return Verdict(kind, *result)
            detail = f"no end after {MAX_SECONDS} s"
        except EOFError:
            self._process.join()
            detail = f"the process died: {self._process.exitcode}"
        self.close()
        return Verdict(kind, "wrong", detail)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = None

    def _start(self) -> None:
        self._pipe, other = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")  # polars hangs in forked processes
        self._process = context.Process(target=_work, args=(self.build, other), daemon=True)
        self._process.start()
        other.close()
        self._pipe.recv()


def _work(build: Callable[[], dict[str, Subject]], pipe: Connection) -> None:
    subjects = build()
    pipe.send("ready")
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):  # nothing is asked, and panics of libraries print nothing here
        os.dup2(null, stream)
    while True:
        kind, generator, folder = pipe.recv()
        os.chdir(folder)
        result = _run(subjects[kind], generator, folder)
        pipe.send((result, _data_bytes() < MAX_KEPT_BYTES))


def _data_bytes() -> int:
    """Return the memory of this process that counts towards its limit, used or only reserved."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData"))


def _run(subject: Subject, generator: np.random.Generator, folder: Path) -> tuple[str, str]:
    """Return the result of a case and its detail."""
    import traceback

    try:
        subject(generator, folder)
    except SeqRecError as error:
        return judge_line(str(error))
    except SystemExit as error:
        return ("right" if error.code in (0, 2, None) else "wrong"), f"exit {error.code}"
    except BaseException:
        return "traceback", traceback.format_exc()[-SMALL:]
    finally:
        sys.stdout.flush()
    return "right", ""


def judge_line(line: str) -> tuple[str, str]:
    """Return ``refused`` for one line of bounded length."""
    is_fine = bool(line) and "\n" not in line.strip() and len(line) <= MAX_LETTERS
    return ("refused" if is_fine else "wrong"), line[:SMALL]
