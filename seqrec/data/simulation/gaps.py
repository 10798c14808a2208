"""A simulated world in which the time between items determines the next item."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float

from seqrec.data.simulation.worlds import FIRST_TIME, World, first_order_world

NEAR_SECONDS = (60, 1_800)
FAR_SECONDS = (86_400, 864_000)
"""Range of the time between two items of one evening, and of different evenings."""


@dataclass(frozen=True)
class GapWorld:
    """The next item depends on the last item, or on the last but one if both are of one evening.

    Evenings do not depend on the items: a model that reads no times must expect either of two
    continuations.
    """

    world: World
    """A first-order world."""

    def next_probabilities(self, history: Sequence[int], is_near: bool) -> Float[np.ndarray, " I"]:
        """Return the probability of every item to come next; zero for seen items.

        Args:
            history: rows of the items, oldest first.
            is_near: True if the last two items are of one evening.
        """
        source = list(history[-2:-1] if is_near and len(history) > 1 else history[-1:])
        chances = self.world.popularity
        if source:
            (kernel,), (weight,) = self.world.kernels, self.world.weights
            chances = weight * kernel[source[0]] + (1 - weight) * chances
        chances = chances.copy()
        chances[list(history)] = 0.0
        return chances / chances.sum()

    def best_recall(
        self, histories: Sequence[Sequence[int]], are_near: Sequence[bool], k: int
    ) -> float:
        """Return the highest expected recall@k of a model that reads items and times."""
        pairs = zip(histories, are_near, strict=True)
        chances = [self.next_probabilities(history, is_near) for history, is_near in pairs]
        return float(np.mean([np.sort(chance)[-k:].sum() for chance in chances]))

    def best_recall_from_items(self, histories: Sequence[Sequence[int]], k: int) -> float:
        """Return the highest expected recall@k of a model that reads items alone."""
        tops = []
        for history in histories:
            mixed = sum(self.next_probabilities(history, is_near) for is_near in (True, False)) / 2
            tops.append(np.sort(mixed)[-k:].sum())
        return float(np.mean(tops))

    def simulate(self, num_users: int, length: int, seed: int) -> pl.DataFrame:
        """Simulate ``user_id``, ``item_id``, ``timestamp`` (seconds) for one history length."""
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
    """Build a gap world over a first-order world; see ``first_order_world``."""
    return GapWorld(first_order_world(num_items, seed, concentration))
