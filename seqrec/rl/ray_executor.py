"""Rollout workers and scorer as Ray actors; learner and controller stay in this process."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from seqrec.errors import SeqRecError
from seqrec.rl.executors import split_prompts
from seqrec.rl.prompts import Prompts, select_prompts
from seqrec.rl.rollouts import Rollouts, Weights, join_rollouts
from seqrec.rl.worker import RolloutWorker, Scorer

KEY = "objective.executor ray"
MAX_DEATHS = 3
"""Consecutive deaths of a role after which the run fails."""
START_SECONDS = 300.0
"""Time limit for the cluster to start the actors."""


def load_ray() -> Any:
    """Import ``ray``, an optional dependency.

    Raises:
        SeqRecError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise SeqRecError(f"{KEY}: Ray is not installed; pip install 'seqrec[ray]'") from error
    return ray


class OnRay:
    """Runs workers and a scorer, each in a Ray process.

    Weights are put into the object store once and are read by all workers. The slates of a worker
    depend on weights, prompts, seed, update and its number only: a worker that dies is replaced,
    and its replacement samples the same slates.
    """

    def __init__(
        self,
        make_worker: Callable[[int], RolloutWorker],
        num_workers: int,
        make_scorer: Callable[[], Scorer],
        *,
        num_threads: int,
        address: str | None = None,
    ) -> None:
        """Start the actors.

        Args:
            make_worker: builds the worker of a number, in the worker's process.
            num_workers: number of workers.
            make_scorer: builds the scorer, in its process.
            num_threads: number of torch threads and of Ray CPUs of each process.
            address: address of a running cluster; None: start one on this machine.

        Raises:
            SeqRecError: Ray is missing, fails, or has too few CPUs for the actors.
        """
        self._ray = load_ray()
        self._owns_cluster = not self._ray.is_initialized()
        num_cpus = num_threads * (num_workers + 1)
        if self._owns_cluster:
            cpus = {} if address else {"num_cpus": num_cpus}
            try:
                self._ray.init(address=address, log_to_driver=False, logging_level="error", **cpus)
            except Exception as error:
                raise SeqRecError(f"{KEY}: Ray does not start: {_line(error)}") from error
        actor = self._ray.remote(num_cpus=num_threads)(_Actor)
        self._start_worker = lambda number: actor.remote(make_worker, (number,), num_threads)
        self._start_scorer = lambda: actor.remote(make_scorer, (), num_threads)
        self._workers = [self._start_worker(number) for number in range(num_workers)]
        self._scorer = self._start_scorer()
        self._weights: Any = None
        self._version = 0
        self._loading: list[Any] = [None] * num_workers
        """The pending load of weights of every worker."""
        self._num_cpus = num_cpus
        try:
            self._wait_for_start(*self._workers, self._scorer)
        except SeqRecError:
            self.close()
            raise

    def _wait_for_start(self, *actors: Any) -> None:
        """Wait until the actors run; calls of an actor without CPUs would never return.

        Raises:
            SeqRecError: some actors do not run within the time limit.
        """
        calls = [actor.process.remote() for actor in actors]
        _, missing = self._ray.wait(calls, num_returns=len(calls), timeout=START_SECONDS)
        if missing:
            raise SeqRecError(
                f"{KEY}: {len(missing)} of {len(calls)} actors did not start within "
                f"{START_SECONDS:g} seconds; they need {self._num_cpus} CPUs together: lower "
                "objective.executor.num_workers or num_threads, or name a larger cluster"
            )

    def load(self, weights: Weights, version: int) -> None:
        """Put the weights into the object store, and load them in every worker."""
        self._weights = self._ray.put({key: value.cpu() for key, value in weights.items()})
        self._version = version
        for number in range(len(self._workers)):
            self._load_latest(number)

    def _load_latest(self, number: int) -> None:
        """Load the latest weights in a worker; calls of one actor run in order."""
        if self._weights is not None:
            self._loading[number] = self._load(number, self._weights, self._version)

    def _load(self, number: int, weights: Any, version: int) -> Any:
        return self._workers[number].call.remote("load", weights, version)

    def start(self, prompts: Prompts, update: int) -> "_Started":
        """Start to sample slates for every prompt, on all workers."""
        return self._start_calls("generate", prompts, update)

    def collect(self, started: "_Started") -> Rollouts:
        """Wait for the slates of a started call."""
        return join_rollouts(
            [self._get_rollouts(number, started) for number in range(len(started.parts))]
        )

    def best(self, prompts: Prompts) -> Rollouts:
        """Return the most probable slate of every prompt."""
        return self.collect(self._start_calls("best", prompts))

    def _start_calls(self, method: str, prompts: Prompts, *arguments: Any) -> "_Started":
        parts = [
            select_prompts(prompts, part)
            for part in split_prompts(len(prompts), len(self._workers))
        ]
        calls = [self._call(number, method, part, *arguments) for number, part in enumerate(parts)]
        return _Started(method, parts, arguments, calls, self._weights, self._version)

    def _call(self, number: int, method: str, *arguments: Any) -> "_Call":
        worker = self._workers[number]
        return _Call(worker, self._loading[number], worker.call.remote(method, *arguments))

    def _get_rollouts(self, number: int, started: "_Started") -> Any:
        """Return a worker's rollouts; a worker that died is replaced and repeats the call."""
        call = started.calls[number]

        def get_result() -> Any:
            if call.loading is not None:
                self._ray.get(call.loading)  # a failed load would leave the old weights in use
            return self._ray.get(call.result)

        def restart() -> None:
            nonlocal call
            if self._workers[number] is call.worker:
                self._workers[number] = self._start_worker(number)
                self._wait_for_start(self._workers[number])
            if started.weights is not None:
                self._loading[number] = self._load(number, started.weights, started.version)
            call = self._call(number, started.method, started.parts[number], *started.arguments)
            self._load_latest(number)

        return self._retry_after_death(f"rollout worker {number}", get_result, restart)

    def score(self, rollouts: Rollouts) -> Float[np.ndarray, "B G"]:
        """Return the reward of each slate; a scorer that died is replaced."""

        def restart() -> None:
            self._scorer = self._start_scorer()
            self._wait_for_start(self._scorer)

        return self._retry_after_death(
            "reward", lambda: self._ray.get(self._scorer.call.remote("score", rollouts)), restart
        )

    def _retry_after_death(
        self, role: str, get_result: Callable[[], Any], restart: Callable[[], None]
    ) -> Any:
        """Return the result of a call, and restart the role whenever its actor died.

        Raises:
            SeqRecError: the role raised an error, or died several times in a row.
        """
        failures = self._ray.exceptions
        for death in range(MAX_DEATHS):
            try:
                return get_result()
            except failures.RayTaskError as error:
                cause = error.cause
                if isinstance(cause, SeqRecError):
                    raise cause from error
                raise SeqRecError(f"{role}: raised {_line(cause)}") from error
            except (failures.RayActorError, failures.ObjectLostError) as error:
                if death == MAX_DEATHS - 1:
                    raise SeqRecError(
                        f"{role}: died {MAX_DEATHS} times in a row: {_line(error, -1)}"
                    ) from error
                restart()
            except failures.RayError as error:
                raise SeqRecError(f"{role}: Ray fails: {_line(error)}") from error

    def get_process_id(self, number: int) -> int:
        """Return the process id of a worker."""
        return self._ray.get(self._workers[number].process.remote())

    def close(self) -> None:
        """Stop the actors, and the cluster if it was started here."""
        for actor in (*self._workers, self._scorer):
            self._ray.kill(actor)
        if self._owns_cluster:
            self._ray.shutdown()


class _Call(NamedTuple):
    """A pending call of a worker."""

    worker: Any
    loading: Any
    """The pending load of the weights of the call."""
    result: Any


class _Started(NamedTuple):
    """Started calls of all workers, with the arguments to repeat them."""

    method: str
    parts: list[Prompts]
    arguments: tuple[Any, ...]
    calls: list[_Call]
    weights: Any
    """Reference of the weights of the calls in the object store."""
    version: int


class _Actor:
    """A role in its own process."""

    def __init__(
        self, make: Callable[..., Any], arguments: Sequence[Any], num_threads: int
    ) -> None:
        import torch

        torch.set_num_threads(num_threads)
        self._role = make(*arguments)

    def call(self, method: str, *arguments: Any) -> Any:
        return getattr(self._role, method)(*arguments)

    def process(self) -> int:
        import os

        return os.getpid()


def _line(error: BaseException, line: int = 0) -> str:
    """Return the type of an error and a line of its message."""
    lines = [text.strip() for text in str(error).splitlines() if text.strip()] or [""]
    name = type(error).__name__
    return f"{name}: {lines[line]}".removesuffix(": ")
