"""Rollout workers and reward as Ray actors; the learner and the controller stay here."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from seqrec.errors import SeqRecError
from seqrec.rl.executors import shards
from seqrec.rl.rewards import Tasks
from seqrec.rl.roles import Rollouts, RolloutWorker, Scorer, Weights, part_of, together

MAX_DEATHS = 3
"""In a row, after which a role is taken to be dead for good."""


def ray_of() -> Any:
    """The library.

    Raises:
        SeqRecError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise SeqRecError(
            "objective.executor ray: Ray is not installed; pip install 'seqrec[ray]'"
        ) from error
    return ray


class OnRay:
    """Workers that draw, and one that scores, each in a process of Ray's.

    Weights go through the object store once and are read by all workers. What a worker draws
    depends on weights, tasks, seed, update and its number alone: one that dies while it holds
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
            SeqRecError: Ray is missing, or refuses.
        """
        self._ray = ray_of()
        self._owns_cluster = not self._ray.is_initialized()
        if self._owns_cluster:
            cpus = {} if address else {"num_cpus": num_threads * (num_workers + 1)}
            try:
                self._ray.init(address=address, log_to_driver=False, logging_level="error", **cpus)
            except Exception as error:
                reason = str(error).strip().partition("\n")[0] or type(error).__name__
                raise SeqRecError(f"objective.executor ray: Ray refuses: {reason}") from error
        actor = self._ray.remote(num_cpus=num_threads)(_Actor)
        self._start_worker = lambda number: actor.remote(make_worker, (number,), num_threads)
        self._start_scorer = lambda: actor.remote(make_scorer, (), num_threads)
        self._workers = [self._start_worker(number) for number in range(num_workers)]
        self._scorer = self._start_scorer()
        self._weights: Any = None
        self._version = 0

    def load(self, weights: Weights, version: int) -> None:
        """Put the weights into the object store, and tell every worker."""
        self._weights = self._ray.put(weights)
        self._version = version
        for number in range(len(self._workers)):
            self._tell(number)

    def _tell(self, number: int) -> None:
        """Give a worker the weights; calls of one actor are done in their order."""
        if self._weights is not None:
            self._workers[number].call.remote("load", self._weights, self._version)

    def start(self, tasks: Tasks, update: int) -> "_Started":
        """Ask for slates for every task, each worker its share, all at once."""
        return self._ask("generate", tasks, update)

    def collect(self, started: "_Started") -> Rollouts:
        """What was asked for, once it is there."""
        return together([self._delivered(number, started) for number in range(len(started.parts))])

    def best(self, tasks: Tasks) -> Rollouts:
        """The most probable slate of every task."""
        return self.collect(self._ask("best", tasks))

    def _ask(self, method: str, tasks: Tasks, *arguments: Any) -> "_Started":
        parts = [part_of(tasks, part) for part in shards(len(tasks), len(self._workers))]
        answers = [
            self._workers[number].call.remote(method, part, *arguments)
            for number, part in enumerate(parts)
        ]
        return _Started(method, parts, arguments, answers)

    def _delivered(self, number: int, started: "_Started") -> Any:
        """A worker's answer; one that died is replaced and asked the same."""
        answer = started.answers[number]
        for _ in range(MAX_DEATHS):
            try:
                return self._ray.get(answer)
            except self._ray.exceptions.RayActorError:
                self._workers[number] = self._start_worker(number)
                self._tell(number)
                answer = self._workers[number].call.remote(
                    started.method, started.parts[number], *started.arguments
                )
            except self._ray.exceptions.RayTaskError as error:
                raise _cause(error) from error
        raise SeqRecError(f"rollout worker {number}: died {MAX_DEATHS} times in a row")

    def score(self, rollouts: Rollouts) -> Float[np.ndarray, "B G"]:
        """What the slates are worth; a scorer that died is replaced."""
        for _ in range(MAX_DEATHS):
            try:
                return self._ray.get(self._scorer.call.remote("score", rollouts))
            except self._ray.exceptions.RayActorError:
                self._scorer = self._start_scorer()
            except self._ray.exceptions.RayTaskError as error:
                raise _cause(error) from error
        raise SeqRecError(f"reward: its process died {MAX_DEATHS} times in a row")

    def process_of(self, number: int) -> int:
        """The process id of a worker, for those who want to watch it, or to kill it."""
        return self._ray.get(self._workers[number].process.remote())

    def close(self) -> None:
        """End the actors, and the cluster if it was started here."""
        for actor in (*self._workers, self._scorer):
            self._ray.kill(actor)
        if self._owns_cluster:
            self._ray.shutdown()


class _Started(NamedTuple):
    """What workers were asked for, so that they can be asked again."""

    method: str
    parts: list[Tasks]
    arguments: tuple[Any, ...]
    answers: list[Any]


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


def _cause(error: Any) -> Exception:
    """What a role raised: a mistake of the user's as it was said there."""
    return error.cause if isinstance(error.cause, SeqRecError) else error
