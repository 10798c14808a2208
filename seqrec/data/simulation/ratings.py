"""A simulated world in which the last item and its rating decide what comes next."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float

from seqrec.data.simulation.worlds import (
    DAY_SECONDS,
    FIRST_TIME,
    LIKED,
    RATING_PROBABILITIES,
    World,
    first_order_world,
)


@dataclass(frozen=True)
class RatingWorld:
    """The last item and its rating determine the next item.

    Ratings do not depend on the item: a model that reads items alone must expect either of two
    continuations.
    """

    worlds: tuple[World, World]
    """The world after an item that was not liked, and after a liked one."""

    def next_probabilities(self, history: Sequence[int], rating: int) -> Float[np.ndarray, " I"]:
        """Return the probability of every item to come next; zero for seen items.

        Args:
            history: rows of the items, oldest first.
            rating: rating of the last item.
        """
        return self.worlds[rating >= LIKED].next_probabilities(history)

    def best_recall(
        self, histories: Sequence[Sequence[int]], ratings: Sequence[int], k: int
    ) -> float:
        """Return the highest expected recall@k of a model that reads items and the last rating."""
        pairs = zip(histories, ratings, strict=True)
        chances = [self.next_probabilities(history, rating) for history, rating in pairs]
        return float(np.mean([np.sort(chance)[-k:].sum() for chance in chances]))

    def best_recall_from_items(self, histories: Sequence[Sequence[int]], k: int) -> float:
        """Return the highest expected recall@k of a model that reads items alone."""
        liked = sum(RATING_PROBABILITIES[LIKED - 1 :])
        tops = []
        for history in histories:
            disliked_next, liked_next = (w.next_probabilities(history) for w in self.worlds)
            mixed = (1 - liked) * disliked_next + liked * liked_next
            tops.append(np.sort(mixed)[-k:].sum())
        return float(np.mean(tops))

    def simulate(self, num_users: int, length: int, seed: int) -> pl.DataFrame:
        """Simulate a log like ``World.simulate``, of histories of one length."""
        generator = np.random.default_rng(seed)
        item_ids = self.worlds[0].item_ids
        rows = []
        for user in range(num_users):
            history: list[int] = []
            rating, time = LIKED, FIRST_TIME
            for _ in range(length):
                chances = self.next_probabilities(history, rating)
                history.append(int(generator.choice(len(chances), p=chances)))
                rating = int(generator.choice(5, p=RATING_PROBABILITIES)) + 1
                time += int(generator.integers(1, DAY_SECONDS))
                rows.append((f"u{user}", item_ids[history[-1]], time, rating))
        columns = ["user_id", "item_id", "timestamp", "rating"]
        return pl.DataFrame(rows, schema=columns, orient="row").sort("timestamp")


def rating_world(num_items: int = 30, seed: int = 0, concentration: float = 0.95) -> RatingWorld:
    """Build a rating world of two first-order worlds; see ``first_order_world``."""
    liked = first_order_world(num_items, seed, concentration)
    disliked = first_order_world(num_items, seed + 1, concentration)
    return RatingWorld((World(liked.popularity, disliked.kernels, disliked.weights), liked))
