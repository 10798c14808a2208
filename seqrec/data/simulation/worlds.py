"""Simulated worlds with known probabilities of the next item.

No user watches an item twice: the next item is drawn from the world's probabilities,
renormalised over unseen items. The probabilities are therefore exact under the seen filter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float, Int

NUM_SUCCESSORS = 5
"""Number of likely successors of an item."""
LAST_SHARE = 1 / 3
"""Weight of the last item in a second-order world, relative to the last two."""
FIRST_TIME = 1_600_000_000
DAY_SECONDS = 86_400
RATING_PROBABILITIES = (0.05, 0.1, 0.2, 0.35, 0.3)
"""Probabilities of the ratings 1 to 5."""
LIKED = 4
"""The lowest rating of a liked item."""
GENRES = ("Adventure", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Romance", "Thriller")
FIRST_WORDS = (
    "Amber Broken Crimson Distant Electric Fading Golden Hidden Iron Jade Last Midnight "
    "Northern Paper Quiet Restless Silver Twelve Velvet Winter"
).split()
LAST_WORDS = (
    "Harbour Letters Garden Orchard River Mirror Station Empire Summer Witness Bridge Carnival "
    "Desert Engine Forest Horizon Island Lantern Mountain Voyage"
).split()


@dataclass(frozen=True)
class World:
    """Items and their probabilities to come next.

    The next item is drawn from a mixture: with ``weights[j]`` from ``kernels[j]``, given the item
    ``j`` positions before the last one; with the remaining weight, or without such an item, by
    popularity.
    """

    popularity: Float[np.ndarray, " I"]
    kernels: tuple[Float[np.ndarray, "I I"], ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def num_items(self) -> int:
        """Number of items."""
        return len(self.popularity)

    @property
    def item_ids(self) -> list[str]:
        """The item ids in the log."""
        width = len(str(self.num_items - 1))
        return [f"t{item:0{width}d}" for item in range(self.num_items)]

    def items(self) -> pl.DataFrame:
        """Return ``item_id``, ``title`` and ``genres`` of every item."""
        titles, genres = [], []
        for item in range(self.num_items):
            round_, pair = divmod(item, len(FIRST_WORDS) * len(LAST_WORDS))
            first, last = divmod(pair * 7 % (len(FIRST_WORDS) * len(LAST_WORDS)), len(LAST_WORDS))
            number = f" {round_ + 1}" if round_ else ""
            titles.append(f"{FIRST_WORDS[first]} {LAST_WORDS[last]}{number}")
            both = {GENRES[item % len(GENRES)], GENRES[item // len(GENRES) % len(GENRES)]}
            genres.append(sorted(both))
        return pl.DataFrame({"item_id": self.item_ids, "title": titles, "genres": genres})

    def next_probabilities(self, history: Sequence[int]) -> Float[np.ndarray, " I"]:
        """Return the probability of every item to come next; zero for seen items.

        Args:
            history: rows of ``items``, oldest first.
        """
        seen = np.zeros((1, self.num_items), dtype=bool)
        seen[0, list(history)] = True
        watched = np.asarray(history, dtype=np.int64).reshape(1, -1)
        return self._probabilities(watched, seen)[0]

    def best_recall(self, histories: Sequence[Sequence[int]], k: int) -> float:
        """Return the highest expected recall@k on the next items of the histories."""
        tops = [np.sort(self.next_probabilities(history))[-k:].sum() for history in histories]
        return float(np.mean(tops))

    def simulate(self, num_users: int, mean_length: float, seed: int) -> pl.DataFrame:
        """Simulate ``user_id``, ``item_id``, ``timestamp`` (seconds) and ``rating``, oldest first.

        Args:
            num_users: number of users.
            mean_length: mean length of histories: Poisson, at least 1, at most all items.
            seed: seed of the log.
        """
        generator = np.random.default_rng(seed)
        lengths = np.clip(generator.poisson(mean_length, num_users), 1, self.num_items)
        lengths[::-1].sort()
        watched = self._walk(lengths, generator)
        gaps = 1 + generator.exponential(DAY_SECONDS, watched.shape).astype(np.int64)
        gaps[:, :1] += generator.integers(0, 365 * DAY_SECONDS, (num_users, 1))
        times = FIRST_TIME + np.cumsum(gaps, axis=1)
        numbers = generator.permutation(num_users)
        width = len(str(num_users - 1))
        user_ids = np.array([f"u{number:0{width}d}" for number in numbers], dtype=object)
        is_watched = np.arange(watched.shape[1]) < lengths[:, None]
        users, _ = np.nonzero(is_watched)
        ratings = generator.choice(5, size=len(users), p=RATING_PROBABILITIES) + 1
        log = pl.DataFrame(
            {
                "user_id": pl.Series(user_ids[users], dtype=pl.String),
                "item_id": pl.Series(self.item_ids).gather(watched[is_watched]),
                "timestamp": times[is_watched],
                "rating": ratings,
            }
        )
        return log.sort("timestamp", maintain_order=True)

    def write_log(self, folder: Path, num_users: int, mean_length: float, seed: int) -> None:
        """Simulate into a folder in MovieLens' format: ``ratings.csv`` and ``movies.csv``."""
        log = self.simulate(num_users, mean_length, seed)
        log.rename({"user_id": "userId", "item_id": "movieId"}).write_csv(folder / "ratings.csv")
        titles = self.items().with_columns(pl.col("genres").list.join("|"))
        titles.rename({"item_id": "movieId"}).write_csv(folder / "movies.csv")

    def _walk(
        self, lengths: Int[np.ndarray, " U"], generator: np.random.Generator
    ) -> Int[np.ndarray, "U T"]:
        """Draw the items of each user, the longest histories first; 0 after a history's end."""
        watched = np.zeros((len(lengths), int(lengths.max(initial=0))), dtype=np.int64)
        seen = np.zeros((len(lengths), self.num_items), dtype=bool)
        for step in range(watched.shape[1]):
            active = int((lengths > step).sum())
            chances = self._probabilities(watched[:active, :step], seen[:active])
            drawn = np.cumsum(chances, axis=1)
            level = generator.random((active, 1)) * drawn[:, -1:]
            chosen = (drawn <= level).sum(axis=1)
            watched[:active, step] = chosen
            seen[np.arange(active), chosen] = True
        return watched

    def _probabilities(
        self, watched: Int[np.ndarray, "U T"], seen: np.ndarray
    ) -> Float[np.ndarray, "U I"]:
        """Return the probabilities after histories of one length, zero for seen items."""
        chances = np.zeros((len(watched), self.num_items))
        rest = 1.0
        for back, (kernel, weight) in enumerate(zip(self.kernels, self.weights, strict=True), 1):
            if watched.shape[1] >= back:
                chances += weight * kernel[watched[:, -back]]
                rest -= weight
        chances += rest * self.popularity
        chances[seen] = 0.0
        total = chances.sum(axis=1, keepdims=True)
        return np.divide(chances, total, out=chances, where=total > 0)


def first_order_world(num_items: int = 200, seed: int = 0, concentration: float = 0.9) -> World:
    """Build a world of the last item: transition counts are optimal, popularity is not.

    Args:
        num_items: number of items.
        seed: seed of the world; ``simulate`` has its own.
        concentration: probability that the next item is a successor of the last one; otherwise
            it is drawn by popularity.
    """
    generator = np.random.default_rng(seed)
    kernel = _successors(num_items, generator)
    return World(draw_popularity(num_items, generator), (kernel,), (concentration,))


def second_order_world(num_items: int = 200, seed: int = 0, concentration: float = 0.9) -> World:
    """Build a world of the last two items, where first-order transition counts are not optimal.

    Args:
        num_items: number of items.
        seed: seed of the world; ``simulate`` has its own.
        concentration: probability that the next item is a likely successor of one of the two.
    """
    generator = np.random.default_rng(seed)
    kernels = (_successors(num_items, generator), _successors(num_items, generator))
    weights = (concentration * LAST_SHARE, concentration * (1 - LAST_SHARE))
    return World(draw_popularity(num_items, generator), kernels, weights)


def unordered_world(num_items: int = 200, seed: int = 0) -> World:
    """Build a world without order: items are drawn by popularity, which is optimal."""
    return World(draw_popularity(num_items, np.random.default_rng(seed)))


def draw_popularity(num_items: int, generator: np.random.Generator) -> Float[np.ndarray, " I"]:
    """Draw probabilities proportional to ``1 / (rank + 10)``, in random order."""
    weights = 1.0 / (np.arange(num_items) + 10)
    return generator.permutation(weights / weights.sum())


def _successors(num_items: int, generator: np.random.Generator) -> Float[np.ndarray, "I I"]:
    """Draw a few likely successors of every item, with halving probabilities."""
    num_successors = min(NUM_SUCCESSORS, num_items - 1)
    chances = generator.random((num_items, num_items))
    np.fill_diagonal(chances, -1.0)
    chosen = np.argsort(-chances, axis=1, kind="stable")[:, :num_successors]
    weights = 0.5 ** np.arange(num_successors)
    kernel = np.zeros((num_items, num_items))
    np.put_along_axis(kernel, chosen, weights / weights.sum(), axis=1)
    return kernel
