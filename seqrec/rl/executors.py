"""Where rollout workers and reward run: in this process, or as actors elsewhere."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from seqrec.rl.rewards import Tasks
from seqrec.rl.roles import Rollouts, RolloutWorker, Scorer, Weights, part_of, together


def shards(num_tasks: int, num_workers: int) -> list[slice]:
    """How tasks are split over workers: contiguous parts of like size, none empty."""
    bounds = np.linspace(0, num_tasks, min(num_workers, num_tasks) + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


class InProcess:
    """All roles here, one after the other."""

    def __init__(self, workers: Sequence[RolloutWorker], scorer: Scorer) -> None:
        self.workers = list(workers)
        self.scorer = scorer

    def load(self, weights: Weights, version: int) -> None:
        for worker in self.workers:
            worker.load(weights, version)

    def generate(self, tasks: Tasks, update: int) -> Rollouts:
        parts = zip(self.workers, shards(len(tasks), len(self.workers)), strict=False)
        return together([worker.generate(part_of(tasks, part), update) for worker, part in parts])

    def best(self, tasks: Tasks) -> Rollouts:
        parts = zip(self.workers, shards(len(tasks), len(self.workers)), strict=False)
        return together([worker.best(part_of(tasks, part)) for worker, part in parts])

    def score(self, rollouts: Rollouts) -> Float[np.ndarray, "B G"]:
        return self.scorer.score(rollouts)

    def close(self) -> None:
        pass
