"""Processes forked from a server that has imported their module, in place of fresh ones.

A fresh process spends 5 s of CPU on importing torch, transformers and lightning.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

_SERVER = multiprocessing.get_context("forkserver")


class ForkedProcess:
    """The part of ``subprocess.Popen`` that a run in several processes uses."""

    def __init__(self, command: list[str], *, env: dict[str, str], **_: object) -> None:
        """Start ``python -m MODULE ARGUMENT`` with its output in a named pipe."""
        _, _, module, argument = command
        _SERVER.set_forkserver_preload([module])
        self._folder = tempfile.TemporaryDirectory()
        self._output = os.path.join(self._folder.name, "output")
        os.mkfifo(self._output)
        self.stdout = self._read()
        arguments = (module, argument, env, self._output)
        self._process = _SERVER.Process(target=_run_module, args=arguments)
        self._process.start()
        self.terminate, self.kill = self._process.terminate, self._process.kill

    @property
    def returncode(self) -> int | None:
        """The exit code, negative after a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has ended.

        Raises:
            subprocess.TimeoutExpired: it runs for longer than ``timeout`` seconds.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("forked process", timeout or 0)

    def _read(self) -> Iterator[str]:
        with open(self._output, encoding="utf-8") as output:
            yield from output


def _run_module(module: str, argument: str, env: dict[str, str], output: str) -> None:
    """Run a module as ``__main__`` under an environment, its output written to a file."""
    os.environ.clear()
    os.environ.update(env)
    os.dup2(os.open(output, os.O_WRONLY), 1)
    os.dup2(os.pipe()[0], 0)  # an input that stays open, as a parent's does
    sys.argv = [module, argument]
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


@pytest.fixture
def forked_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the processes of a training run on several devices."""
    forked = SimpleNamespace(
        Popen=ForkedProcess, PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired
    )
    monkeypatch.setattr("seqrec.runs.processes.subprocess", forked)
