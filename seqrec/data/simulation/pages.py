"""A simulated world that rewards plans: pages of rows, each row of one genre, unlike the others.

A page answers one history with several rows of items. A row whose items are all of one genre has
the worth of the share of other rows that are not of that genre; other rows have none. With a plan
(a random genre, then items of it alone) every row is of one genre, and half of the others differ.
Without a plan, all items of a row come from one distribution: a mixture of both genres mixes them
within a row, a single genre makes all rows alike. The best worth is known in both cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

GENRES = ("Comedy", "Drama")
MOODS = ("light", "grave")
"""The mood of each genre."""
FIRST_TIME = 1_600_000_000
GRID = 10_001
"""Number of genre shares in the search for the best one."""


@dataclass(frozen=True)
class PageWorld:
    """Two genres, watched equally often and independently of the history, with a mood each time."""

    num_items_per_genre: int
    keeping: float
    """Probability that an item is of the genre of its mood."""

    @property
    def item_ids(self) -> list[str]:
        """The item ids; the first letter is that of the genre."""
        return [f"{genre[0]}{n:02d}" for genre in GENRES for n in range(self.num_items_per_genre)]

    def write_log(self, folder: Path, num_users: int, length: int, seed: int) -> None:
        """Simulate into a folder in MovieLens' format, with a column ``mood``.

        Args:
            folder: folder of ``ratings.csv`` and ``movies.csv``.
            num_users: number of users.
            length: length of the histories.
            seed: seed of the log.
        """
        generator = np.random.default_rng(seed)
        rows = ["userId,movieId,rating,timestamp,mood"]
        for user in range(num_users):
            unseen = [generator.permutation(self.num_items_per_genre).tolist() for _ in GENRES]
            for step in range(length):
                mood = int(generator.integers(2))
                genre = mood if generator.random() < self.keeping else 1 - mood
                item_id = f"{GENRES[genre][0]}{unseen[genre].pop():02d}"
                rows.append(f"{user},{item_id},5,{FIRST_TIME + step},{MOODS[mood]}")
        genres = [genre for genre in GENRES for _ in range(self.num_items_per_genre)]
        items = ["movieId,title,genres"]
        items += [f"{i},Title {i},{g}" for i, g in zip(self.item_ids, genres, strict=True)]
        for name, lines in (("ratings.csv", rows), ("movies.csv", items)):
            (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def best_without_plan(self, history: Sequence[str], row_length: int) -> float:
        """Return the best mean worth of rows drawn from one distribution over the unseen items.

        A row that is entirely of the first genre with probability ``a`` and of the second with
        ``b`` has the mean worth ``a (1 - a) + b (1 - b)``. For any share of a genre, the uniform
        distribution within each genre maximises both probabilities: items are drawn without
        replacement, like exponential clocks that ring, and equal rates bring most items of a
        genre early. All shares are searched; both terms increase up to one half, and a larger
        probability can be reduced to it by a smaller share.

        Args:
            history: item ids.
            row_length: items of a row.
        """
        share = np.linspace(0, 1, GRID)
        unseen = [
            self.num_items_per_genre
            - len({item_id for item_id in history if item_id[0] == genre[0]})
            for genre in GENRES
        ]
        chances = [
            _probability_of_row(genre_share, number, row_length)
            for genre_share, number in zip((share, 1 - share), unseen, strict=True)
        ]
        # a probability above one half can be reduced without a change of the other
        worth = sum(np.minimum(chance, 0.5) * (1 - np.minimum(chance, 0.5)) for chance in chances)
        return float(np.max(worth))

    @staticmethod
    def best_with_plan() -> float:
        """Return the mean worth of rows of one random genre each, the maximum of all policies."""
        return 0.5


def _probability_of_row(
    share: Float[np.ndarray, " S"], num_items: int, row_length: int
) -> Float[np.ndarray, " S"]:
    """Return the probability that all items of a row are of a genre with this total share."""
    probability = np.ones_like(share)
    for num_drawn in range(row_length):
        left = share * max(num_items - num_drawn, 0) / max(num_items, 1)
        total = left + (1 - share)
        probability *= np.divide(left, total, out=np.zeros_like(left), where=total > 0)
    return probability


def row_worths(
    histories: Sequence[Sequence[str]], pages: Sequence[Sequence[Sequence[str]]]
) -> list[list[float]]:
    """Return the worth of every row: the share of other rows without its genre, 0 if mixed.

    Args:
        histories: item ids; they do not change the worth of a page.
        pages: the rows of item ids of every history.
    """
    return [[is_one * (1 - alike) for is_one, alike in _rows(page)] for page in pages]


def row_gains(
    histories: Sequence[Sequence[str]], pages: Sequence[Sequence[Sequence[str]]]
) -> list[list[float]]:
    """Return the reward: the contribution of each row to the worth of its page.

    A row loses its own share of equal rows, and takes as much from these rows. With this reward
    the policy gradient is that of the total worth, ``(1 - 2 a) da + (1 - 2 b) db`` in the symbols
    of ``PageWorld.best_without_plan``. With its own worth alone as a reward, all rows would move
    to the genre that is ahead.

    Args:
        histories: item ids.
        pages: the rows of item ids of every history.
    """
    return [[is_one * (1 - 2 * alike) for is_one, alike in _rows(page)] for page in pages]


def _rows(page: Sequence[Sequence[str]]) -> list[tuple[float, float]]:
    """Return for every row 1 if it is of one genre, and the share of other rows with its genre."""
    genres = [{item_id[0] for item_id in row} for row in page]
    others = max(len(page) - 1, 1)
    return [(float(len(one) == 1), (genres.count(one) - 1) / others) for one in genres]
