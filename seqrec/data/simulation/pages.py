"""A simulated world in which it pays to plan: rows of a page, each of one genre, unlike the others.

Whoever fills a page answers one history with several rows of titles. A row is worth something if
its titles are all of one genre: the share of the other rows that are not of that genre. With a
plan, a genre by the toss of a coin and then titles of it alone, every row is of one genre, and
half of the others are not like it. Without, all titles of a row are drawn from one distribution:
one that serves both genres mixes them within a row, and one that serves a single genre makes all
rows alike. What either can reach at most is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

GENRES = ("Comedy", "Drama")
MOODS = ("light", "grave")
"""Of a genre each."""
FIRST_TIME = 1_600_000_000
GRID = 10_001
"""Shares of a genre that are looked at for the best one."""


@dataclass(frozen=True)
class PageWorld:
    """Two genres; people watch both alike, whatever they watched, and say a mood each time."""

    num_titles: int
    """Of each genre."""
    keeping: float
    """How often a title is of the genre of the mood that was said before it."""

    @property
    def item_ids(self) -> list[str]:
        """The ids of the titles; their first letter is that of their genre."""
        return [f"{genre[0]}{n:02d}" for genre in GENRES for n in range(self.num_titles)]

    def write_log(self, folder: Path, num_users: int, length: int, seed: int) -> None:
        """Simulate into a folder that looks as MovieLens', with a column ``mood``.

        Args:
            folder: where ``ratings.csv`` and ``movies.csv`` are written.
            num_users: people who watch.
            length: of their histories.
            seed: the same seed gives the same log.
        """
        generator = np.random.default_rng(seed)
        rows = ["userId,movieId,rating,timestamp,mood"]
        for user in range(num_users):
            left = [generator.permutation(self.num_titles).tolist() for _ in GENRES]
            for step in range(length):
                mood = int(generator.integers(2))
                genre = mood if generator.random() < self.keeping else 1 - mood
                item_id = f"{GENRES[genre][0]}{left[genre].pop():02d}"
                rows.append(f"{user},{item_id},5,{FIRST_TIME + step},{MOODS[mood]}")
        (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
        genres = [genre for genre in GENRES for _ in range(self.num_titles)]
        titles = [f"{i},Title {i},{g}" for i, g in zip(self.item_ids, genres, strict=True)]
        (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *titles]) + "\n")

    def best_without_plan(self, history: Sequence[str], row_length: int) -> float:
        """The most that rows drawn from one distribution over the unseen titles are worth.

        If a row is wholly of the first genre with chance ``a`` and of the second with chance
        ``b``, it is worth ``a (1 - a) + b (1 - b)`` on average. Among distributions that give a
        genre the same share, an even one within each genre makes both chances largest, whatever
        the share: of titles drawn one after the other without replacement, as of exponential
        clocks that ring, most of a genre come early if their rates are alike. What is left is to
        look at all shares; both terms grow with ``a`` and ``b`` up to a half, and where one is
        above it, a smaller share brings it back.
        """
        share = np.linspace(0, 1, GRID)
        unseen = [
            self.num_titles - len({title for title in history if title[0] == genre[0]})
            for genre in GENRES
        ]
        chances = [
            _chance_of_row(of_genre, number, row_length)
            for of_genre, number in zip((share, 1 - share), unseen, strict=True)
        ]
        # a chance above a half can be had smaller, the other staying as it is
        worth = sum(np.minimum(chance, 0.5) * (1 - np.minimum(chance, 0.5)) for chance in chances)
        return float(np.max(worth))

    @staticmethod
    def best_with_plan() -> float:
        """What a coin's toss and titles of that genre alone are worth: the most there is."""
        return 0.5


def _chance_of_row(
    share: Float[np.ndarray, " S"], num_titles: int, row_length: int
) -> Float[np.ndarray, " S"]:
    """The chance that a row is of one genre, whose titles have a share of all, each the same."""
    found = np.ones_like(share)
    for place in range(row_length):
        left = share * max(num_titles - place, 0) / max(num_titles, 1)
        rest = left + (1 - share)
        found = found * np.divide(left, rest, out=np.zeros_like(left), where=rest > 0)
    return found


def worth_of_rows(
    histories: Sequence[Sequence[str]], pages: Sequence[Sequence[Sequence[str]]]
) -> list[list[float]]:
    """Of every row of one genre the share of the other rows that are not of it; of others 0.

    Args:
        histories: of item ids; a page is judged alike after any.
        pages: of every history its rows of item ids.
    """
    return [[is_one * (1 - alike) for is_one, alike in _rows(page)] for page in pages]


def gain_of_rows(
    histories: Sequence[Sequence[str]], pages: Sequence[Sequence[Sequence[str]]]
) -> list[list[float]]:
    """The reward: what each row adds to the worth of its page.

    To its own worth comes what it takes from rows of the same genre, which is as much as they
    take from it. Rows are then paid so that the policy gradient is that of their worth together:
    ``(1 - 2 a) da + (1 - 2 b) db`` in the words of ``PageWorld.best_without_plan``. Paid by their
    own worth, all would crowd into the genre that is ahead.

    Args:
        histories: of item ids.
        pages: of every history its rows of item ids.
    """
    return [[is_one * (1 - 2 * alike) for is_one, alike in _rows(page)] for page in pages]


def _rows(page: Sequence[Sequence[str]]) -> list[tuple[float, float]]:
    """Of every row whether it is of one genre, and the share of other rows that are of the same."""
    genres = [{title[0] for title in row} for row in page]
    others = max(len(page) - 1, 1)
    return [(float(len(one) == 1), (genres.count(one) - 1) / others) for one in genres]
