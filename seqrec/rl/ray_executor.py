"""Rollout workers and reward as Ray actors; the learner and the controller stay here."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from seqrec.errors import SeqRecError
from seqrec.rl.executors import shards
from seqrec.rl.prompts import Prompts
from seqrec.rl.rollouts import Rollouts, Weights, part_of, together
from seqrec.rl.worker import RolloutWorker, Scorer

WHO = "objective.executor ray"
MAX_DEATHS = 3
"""In a row, after which a role is taken to be dead for good."""
START_SECONDS = 300.0
"""Within which a cluster gives the actors their CPUs, and these are ready."""


def ray_of() -> Any:
    """The library.

    Raises:
        SeqRecError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise SeqRecError(f"{WHO}: Ray is not installed; pip install 'seqrec[ray]'") from error
    return ray


class OnRay:
    """Workers that draw, and one that scores, each in a process of Ray's.

    Weights go through the object store once and are read by all workers. What a worker draws
    depends on weights, prompts, seed, update and its number alone: one that dies while it holds
    rollouts is replaced, and the same rollouts are drawn again, once.
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
            make_worker: from a worker's number to the worker; called in its process.
            num_workers: how many.
            make_scorer: makes the scorer, in its process.
            num_threads: torch's threads in each process, and the CPUs that it asks Ray for.
            address: of a running cluster; absent, one is started on this machine.

        Raises:
            SeqRecError: Ray is missing, or refuses, or has no room for the actors.
        """
        self._ray = ray_of()
        self._owns_cluster = not self._ray.is_initialized()
        num_cpus = num_threads * (num_workers + 1)
        if self._owns_cluster:
            cpus = {} if address else {"num_cpus": num_cpus}
            try:
                self._ray.init(address=address, log_to_driver=False, logging_level="error", **cpus)
            except Exception as error:
                raise SeqRecError(f"{WHO}: Ray refuses: {_line(error)}") from error
        actor = self._ray.remote(num_cpus=num_threads)(_Actor)
        self._start_worker = lambda number: actor.remote(make_worker, (number,), num_threads)
        self._start_scorer = lambda: actor.remote(make_scorer, (), num_threads)
        self._workers = [self._start_worker(number) for number in range(num_workers)]
        self._scorer = self._start_scorer()
        self._weights: Any = None
        self._version = 0
        self._told: list[Any] = [None] * num_workers
        """Of every worker, what it answers once it has the weights."""
        self._num_cpus = num_cpus
        try:
            self._see_that_they_begin(*self._workers, self._scorer)
        except SeqRecError:
            self.close()
            raise

    def _see_that_they_begin(self, *actors: Any) -> None:
        """An actor without CPUs would wait for ever, and so would whoever asks it."""
        calls = [actor.process.remote() for actor in actors]
        _, missing = self._ray.wait(calls, num_returns=len(calls), timeout=START_SECONDS)
        if missing:
            raise SeqRecError(
                f"{WHO}: {len(missing)} of {len(calls)} actors have not begun within "
                f"{START_SECONDS:g} seconds; all ask for {self._num_cpus} CPUs together: lower "
                "objective.executor.num_workers or num_threads, or name a larger cluster"
            )

    def load(self, weights: Weights, version: int) -> None:
        """Put the weights into the object store, and tell every worker."""
        self._weights = self._ray.put({key: value.cpu() for key, value in weights.items()})
        self._version = version
        for number in range(len(self._workers)):
            self._tell(number)

    def _tell(self, number: int) -> None:
        """Give a worker the weights; calls of one actor are done in their order."""
        if self._weights is not None:
            self._told[number] = self._load(number, self._weights, self._version)

    def _load(self, number: int, weights: Any, version: int) -> Any:
        return self._workers[number].call.remote("load", weights, version)

    def start(self, prompts: Prompts, update: int) -> "_Started":
        """Ask for slates for every task, each worker its share, all at once."""
        return self._ask("generate", prompts, update)

    def collect(self, started: "_Started") -> Rollouts:
        """What was asked for, once it is there."""
        return together([self._delivered(number, started) for number in range(len(started.parts))])

    def best(self, prompts: Prompts) -> Rollouts:
        """The most probable slate of every task."""
        return self.collect(self._ask("best", prompts))

    def _ask(self, method: str, prompts: Prompts, *arguments: Any) -> "_Started":
        parts = [part_of(prompts, part) for part in shards(len(prompts), len(self._workers))]
        asked = [self._call(number, method, part, *arguments) for number, part in enumerate(parts)]
        return _Started(method, parts, arguments, asked, self._weights, self._version)

    def _call(self, number: int, method: str, *arguments: Any) -> "_Asked":
        worker = self._workers[number]
        return _Asked(worker, self._told[number], worker.call.remote(method, *arguments))

    def _delivered(self, number: int, started: "_Started") -> Any:
        """A worker's answer; one that died is replaced, once, and asked the same."""
        asked = started.asked[number]

        def answer() -> Any:
            if asked.told is not None:
                self._ray.get(asked.told)  # a worker that took no weights draws from old ones
            return self._ray.get(asked.answer)

        def again() -> None:
            nonlocal asked
            if self._workers[number] is asked.worker:
                self._workers[number] = self._start_worker(number)
                self._see_that_they_begin(self._workers[number])
            if started.weights is not None:
                self._told[number] = self._load(number, started.weights, started.version)
            asked = self._call(number, started.method, started.parts[number], *started.arguments)
            self._tell(number)

        return self._of_the_living(f"rollout worker {number}", answer, again)

    def score(self, rollouts: Rollouts) -> Float[np.ndarray, "B G"]:
        """What the slates are worth; a scorer that died is replaced."""

        def again() -> None:
            self._scorer = self._start_scorer()
            self._see_that_they_begin(self._scorer)

        return self._of_the_living(
            "reward", lambda: self._ray.get(self._scorer.call.remote("score", rollouts)), again
        )

    def _of_the_living(
        self, role: str, answer: Callable[[], Any], again: Callable[[], None]
    ) -> Any:
        """An answer, asked for again of a new actor whenever the old one has died.

        Raises:
            SeqRecError: what the role raised, or that it dies again and again, and of what.
        """
        failures = self._ray.exceptions
        for death in range(MAX_DEATHS):
            try:
                return answer()
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
                again()
            except failures.RayError as error:
                raise SeqRecError(f"{role}: Ray fails: {_line(error)}") from error

    def process_of(self, number: int) -> int:
        """The process id of a worker, for those who want to watch it, or to kill it."""
        return self._ray.get(self._workers[number].process.remote())

    def close(self) -> None:
        """End the actors, and the cluster if it was started here."""
        for actor in (*self._workers, self._scorer):
            self._ray.kill(actor)
        if self._owns_cluster:
            self._ray.shutdown()


class _Asked(NamedTuple):
    """A call of a worker."""

    worker: Any
    told: Any
    """What the worker answers once it has the weights that the call is made under."""
    answer: Any


class _Started(NamedTuple):
    """What workers were asked for, so that they can be asked again."""

    method: str
    parts: list[Prompts]
    arguments: tuple[Any, ...]
    asked: list[_Asked]
    weights: Any
    """In the object store; those of then, though newer ones may have come."""
    version: int


class _Actor:
    """One role in a process of its own."""

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
    """What an error is, and a line of what it says."""
    lines = [text.strip() for text in str(error).splitlines() if text.strip()] or [""]
    name = type(error).__name__
    return f"{name}: {lines[line]}".removesuffix(": ")
