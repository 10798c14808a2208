"""A simulated world in which the time between titles decides what comes next."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float

from seqrec.data.simulation.worlds import FIRST_TIME, World, first_order_world

NEAR_SECONDS = (60, 1_800)
FAR_SECONDS = (86_400, 864_000)
"""How far apart two titles are, the least and the most: of one evening, and of two."""


@dataclass(frozen=True)
class GapWorld:
    """A title of the same evening as the one before it is passed over: what comes next follows
    from the one before.

    Whether two titles are of one evening is drawn, whatever they are: who reads no times must
    expect either of two continuations.
    """

    world: World
    """What comes next after a title; of the first order."""

    def next_probabilities(self, history: Sequence[int], is_near: bool) -> Float[np.ndarray, " I"]:
        """The chance of every title to come next; zero for seen ones.

        Args:
            history: numbers of titles, oldest first.
            is_near: whether the last two are of one evening.
        """
        decides = list(history[-2:-1] if is_near and len(history) > 1 else history[-1:])
        chances = self.world.popularity
        if decides:
            (kernel,), (weight,) = self.world.kernels, self.world.weights
            chances = weight * kernel[decides[0]] + (1 - weight) * chances
        chances = chances.copy()
        chances[list(history)] = 0.0
        return chances / chances.sum()

    def best_recall(
        self, histories: Sequence[Sequence[int]], are_near: Sequence[bool], k: int
    ) -> float:
        """The highest recall@k that a model can expect that reads titles and times."""
        pairs = zip(histories, are_near, strict=True)
        chances = [self.next_probabilities(history, is_near) for history, is_near in pairs]
        return float(np.mean([np.sort(chance)[-k:].sum() for chance in chances]))

    def best_recall_of_titles(self, histories: Sequence[Sequence[int]], k: int) -> float:
        """The highest recall@k that a model can expect that reads titles alone."""
        tops = []
        for history in histories:
            mixed = sum(self.next_probabilities(history, is_near) for is_near in (True, False)) / 2
            tops.append(np.sort(mixed)[-k:].sum())
        return float(np.mean(tops))

    def simulate(self, num_users: int, length: int, seed: int) -> pl.DataFrame:
        """A log: ``user_id``, ``item_id``, ``timestamp`` in seconds, histories of one length."""
        generator = np.random.default_rng(seed)
        rows = []
        for user in range(num_users):
            history: list[int] = []
            is_near, time = False, FIRST_TIME
            for _ in range(length):
                chances = self.next_probabilities(history, is_near)
                history.append(int(generator.choice(len(chances), p=chances)))
                is_near = bool(generator.random() < 0.5)
                time += int(generator.integers(*(NEAR_SECONDS if is_near else FAR_SECONDS)))
                rows.append((f"u{user}", self.world.item_ids[history[-1]], time))
        return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


def gap_world(num_items: int = 30, seed: int = 0, concentration: float = 0.95) -> GapWorld:
    """A world over a first-order one; see there."""
    return GapWorld(first_order_world(num_items, seed, concentration))
