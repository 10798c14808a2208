"""Rollout workers and scorer in this process."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from seqrec.rl.prompts import Prompts, select_prompts
from seqrec.rl.rollouts import Rollouts, Weights, join_rollouts
from seqrec.rl.worker import RolloutWorker, Scorer


def split_prompts(num_prompts: int, num_workers: int) -> list[slice]:
    """Split prompts over workers: contiguous parts of similar size, none empty."""
    bounds = np.linspace(0, num_prompts, min(num_workers, num_prompts) + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


class InProcess:
    """Runs workers and scorer one after the other, or the workers in a thread beside the learner.

    The thread runs its calls in order, so that weights never change during a draw.
    """

    def __init__(
        self, workers: Sequence[RolloutWorker], scorer: Scorer, *, in_background: bool = False
    ) -> None:
        self.workers = list(workers)
        self.scorer = scorer
        self._thread = ThreadPoolExecutor(1, "rollouts") if in_background else None

    def load(self, weights: Weights, version: int) -> None:
        self._begin(self._load, weights, version)

    def _load(self, weights: Weights, version: int) -> None:
        for worker in self.workers:
            worker.load(weights, version)

    def start(self, prompts: Prompts, update: int) -> Future:
        return self._begin(self._each, prompts, lambda worker, part: worker.generate(part, update))

    def collect(self, started: Future) -> Rollouts:
        return started.result()

    def best(self, prompts: Prompts) -> Rollouts:
        return self._begin(self._each, prompts, lambda worker, part: worker.best(part)).result()

    def _each(
        self, prompts: Prompts, work: Callable[[RolloutWorker, Prompts], Rollouts]
    ) -> Rollouts:
        slices = split_prompts(len(prompts), len(self.workers))
        parts = zip(self.workers, slices, strict=False)
        return join_rollouts(
            [work(worker, select_prompts(prompts, part)) for worker, part in parts]
        )

    def _begin(self, work: Callable[..., Any], *arguments: Any) -> Future:
        """Run the call at once, or queue it for the thread."""
        if self._thread is not None:
            return self._thread.submit(work, *arguments)
        done: Future = Future()
        done.set_result(work(*arguments))
        return done

    def score(self, rollouts: Rollouts) -> Float[np.ndarray, "B G"]:
        return self.scorer.score(rollouts)

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)


class Executor(Protocol):
    """Runs rollout workers and scorer."""

    def load(self, weights: Weights, version: int) -> None:
        """Load new weights in every worker."""
        ...

    def start(self, prompts: Prompts, update: int) -> Any:
        """Start to sample slates for every prompt, under the weights that were loaded last."""
        ...

    def collect(self, started: Any) -> Rollouts:
        """Return the slates of a started call."""
        ...

    def best(self, prompts: Prompts) -> Rollouts:
        """Return the most probable slate of every prompt."""
        ...

    def score(self, rollouts: Rollouts) -> Float[np.ndarray, "B G"]:
        """Return the reward of each slate."""
        ...

    def close(self) -> None:
        """Stop all processes and threads."""
        ...
