"""Simulated worlds, of which the best next item is known.

Nobody watches a title twice: the next one is drawn from the world's probabilities,
renormalised over unseen titles. What a world says is therefore exact under the seen filter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

NUM_SUCCESSORS = 5
"""Titles that are likely after a given one."""
LAST_SHARE = 1 / 3
"""What the last title decides in a world of the second order; the one before it does the rest."""
FIRST_TIME = 1_600_000_000
DAY_SECONDS = 86_400
RATING_PROBABILITIES = (0.05, 0.1, 0.2, 0.35, 0.3)
"""Of 1 to 5."""
LIKED = 4
"""The least rating of a title that was liked."""
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
    """Titles, and the chances of each to come next.

    The next title is drawn from a mixture: with ``weights[j]`` by ``kernels[j]``, from the title
    that stands ``j`` before the last one; with the rest of the weight, or where there is no such
    title, by popularity.
    """

    popularity: Float[np.ndarray, " I"]
    kernels: tuple[Float[np.ndarray, "I I"], ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def num_items(self) -> int:
        """Titles of the world."""
        return len(self.popularity)

    @property
    def item_ids(self) -> list[str]:
        """The ids under which titles stand in the log."""
        width = len(str(self.num_items - 1))
        return [f"t{item:0{width}d}" for item in range(self.num_items)]

    def items(self) -> pl.DataFrame:
        """``item_id``, ``title`` and ``genres`` of every title."""
        titles, genres = [], []
        for item in range(self.num_items):
            round_, place = divmod(item, len(FIRST_WORDS) * len(LAST_WORDS))
            first, last = divmod(place * 7 % (len(FIRST_WORDS) * len(LAST_WORDS)), len(LAST_WORDS))
            number = f" {round_ + 1}" if round_ else ""
            titles.append(f"{FIRST_WORDS[first]} {LAST_WORDS[last]}{number}")
            both = {GENRES[item % len(GENRES)], GENRES[item // len(GENRES) % len(GENRES)]}
            genres.append(sorted(both))
        return pl.DataFrame({"item_id": self.item_ids, "title": titles, "genres": genres})

    def next_probabilities(self, history: Sequence[int]) -> Float[np.ndarray, " I"]:
        """The chance of every title to come next; zero for seen ones, and for all if all are.

        Args:
            history: numbers of titles (rows of ``items``), oldest first.
        """
        seen = np.zeros((1, self.num_items), dtype=bool)
        seen[0, list(history)] = True
        watched = np.asarray(history, dtype=np.int64).reshape(1, -1)
        return self._probabilities(watched, seen)[0]

    def best_recall(self, histories: Sequence[Sequence[int]], k: int) -> float:
        """The highest recall@k that any model can expect on the next titles of the histories."""
        tops = [np.sort(self.next_probabilities(history))[-k:].sum() for history in histories]
        return float(np.mean(tops))

    def simulate(self, num_users: int, mean_length: float, seed: int) -> pl.DataFrame:
        """A log: ``user_id``, ``item_id``, ``timestamp`` in seconds, ``rating``, oldest row first.

        Args:
            num_users: people who watch.
            mean_length: of their histories: Poisson, at least 1, at most all titles.
            seed: the same seed gives the same log.
        """
        generator = np.random.default_rng(seed)
        lengths = np.clip(generator.poisson(mean_length, num_users), 1, self.num_items)
        lengths[::-1].sort()
        watched = self._walk(lengths, generator)
        gaps = 1 + generator.exponential(DAY_SECONDS, watched.shape).astype(np.int64)
        gaps[:, :1] += generator.integers(0, 365 * DAY_SECONDS, (num_users, 1))
        times = FIRST_TIME + np.cumsum(gaps, axis=1)
        people = generator.permutation(num_users)
        width = len(str(num_users - 1))
        user_ids = np.array([f"u{person:0{width}d}" for person in people], dtype=object)
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
        """Simulate into a folder that looks as MovieLens': ``ratings.csv`` and ``movies.csv``."""
        log = self.simulate(num_users, mean_length, seed)
        log.rename({"user_id": "userId", "item_id": "movieId"}).write_csv(folder / "ratings.csv")
        titles = self.items().with_columns(pl.col("genres").list.join("|"))
        titles.rename({"item_id": "movieId"}).write_csv(folder / "movies.csv")

    def _walk(
        self, lengths: Int[np.ndarray, " U"], generator: np.random.Generator
    ) -> Int[np.ndarray, "U T"]:
        """Titles watched by each user, the longest histories first; 0 after a history's end."""
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
        """Chances after histories of one length, renormalised over unseen titles."""
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


@dataclass(frozen=True)
class OpposedTastes:
    """Two kinds of people, of whom each likes the half of the titles that the other dislikes.

    Of two titles, the better one after a history is therefore known, and a title's mean rating
    says nothing: who is asked shows in what was watched, liked titles more often than others.
    """

    worlds: tuple[World, World]
    """What each kind watches."""
    likes: Bool[np.ndarray, "2 I"]
    """By kind, the titles that it likes."""

    def simulate(self, num_users: int, mean_length: float, seed: int) -> pl.DataFrame:
        """A log as ``World.simulate`` makes it; liked titles are rated 4 or 5, others 1 or 2.

        The first letter of a user's id, ``a`` or ``b``, tells the kind.
        """
        logs = []
        for kind, world in enumerate(self.worlds):
            log = world.simulate(num_users // 2, mean_length, seed + kind)
            likes = pl.DataFrame({"item_id": world.item_ids, "is_liked": self.likes[kind]})
            log = log.join(likes, on="item_id", maintain_order="left")
            rating = pl.when("is_liked").then(4).otherwise(1) + pl.col("rating") % 2
            log = log.with_columns(user_id="ab"[kind] + pl.col("user_id"), rating=rating)
            logs.append(log.drop("is_liked"))
        return pl.concat(logs).sort("timestamp", maintain_order=True)

    def is_liked(self, user_id: str, item_id: str) -> bool:
        """Whether a user likes a title."""
        kind = "ab".index(user_id[0])
        return bool(self.likes[kind, self.worlds[kind].item_ids.index(item_id)])


@dataclass(frozen=True)
class RatingWorld:
    """The last title and what it was rated decide what comes next.

    Ratings are drawn, whatever the title: who reads titles alone must expect either of two
    continuations.
    """

    worlds: tuple[World, World]
    """What comes next after a title that was not liked, and after one that was."""

    def next_probabilities(self, history: Sequence[int], rating: int) -> Float[np.ndarray, " I"]:
        """The chance of every title to come next; zero for seen ones.

        Args:
            history: numbers of titles, oldest first.
            rating: of the last.
        """
        return self.worlds[rating >= LIKED].next_probabilities(history)

    def best_recall(
        self, histories: Sequence[Sequence[int]], ratings: Sequence[int], k: int
    ) -> float:
        """The highest recall@k that a model can expect that reads titles and the last rating."""
        pairs = zip(histories, ratings, strict=True)
        chances = [self.next_probabilities(history, rating) for history, rating in pairs]
        return float(np.mean([np.sort(chance)[-k:].sum() for chance in chances]))

    def best_recall_of_titles(self, histories: Sequence[Sequence[int]], k: int) -> float:
        """The highest recall@k that a model can expect that reads titles alone."""
        liked = sum(RATING_PROBABILITIES[LIKED - 1 :])
        tops = []
        for history in histories:
            disliked_next, liked_next = (w.next_probabilities(history) for w in self.worlds)
            mixed = (1 - liked) * disliked_next + liked * liked_next
            tops.append(np.sort(mixed)[-k:].sum())
        return float(np.mean(tops))

    def simulate(self, num_users: int, length: int, seed: int) -> pl.DataFrame:
        """A log as ``World.simulate`` makes it, of histories of one length."""
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
    """A world of two first-order ones, of which the last rating chooses; see there."""
    liked = first_order_world(num_items, seed, concentration)
    disliked = first_order_world(num_items, seed + 1, concentration)
    return RatingWorld((World(liked.popularity, disliked.kernels, disliked.weights), liked))


def opposed_tastes(num_items: int = 40, seed: int = 0, lean: float = 2.0) -> OpposedTastes:
    """Two kinds of people; a title that is liked is ``lean`` times as likely to be watched."""
    generator = np.random.default_rng(seed)
    of_first = generator.permutation(num_items) < num_items // 2
    likes = np.stack([of_first, ~of_first])
    popularity = _popularity(num_items, generator)
    chances = [np.where(of_kind, lean, 1.0) * popularity for of_kind in likes]
    first, second = (World(chance / chance.sum()) for chance in chances)
    return OpposedTastes((first, second), likes)


def first_order_world(num_items: int = 200, seed: int = 0, concentration: float = 0.9) -> World:
    """The last title decides: transition counts reach the optimum, popularity does not.

    Args:
        num_items: titles.
        seed: of the world; ``simulate`` has its own.
        concentration: the share of next titles that are one of the last one's few successors;
            the rest is drawn by popularity.
    """
    generator = np.random.default_rng(seed)
    kernel = _successors(num_items, generator)
    return World(_popularity(num_items, generator), (kernel,), (concentration,))


def second_order_world(num_items: int = 200, seed: int = 0, concentration: float = 0.9) -> World:
    """The last title but one decides more than the last: neighbours' counts cannot reach the best.

    Args:
        num_items: titles.
        seed: of the world; ``simulate`` has its own.
        concentration: the share of next titles that are a likely successor of one of the two.
    """
    generator = np.random.default_rng(seed)
    kernels = (_successors(num_items, generator), _successors(num_items, generator))
    weights = (concentration * LAST_SHARE, concentration * (1 - LAST_SHARE))
    return World(_popularity(num_items, generator), kernels, weights)


def unordered_world(num_items: int = 200, seed: int = 0) -> World:
    """Titles are drawn by popularity: order carries nothing, and popularity is the optimum."""
    return World(_popularity(num_items, np.random.default_rng(seed)))


def _popularity(num_items: int, generator: np.random.Generator) -> Float[np.ndarray, " I"]:
    """Chances that fall with one over the rank, in no order."""
    weights = 1.0 / (np.arange(num_items) + 10)
    return generator.permutation(weights / weights.sum())


def _successors(num_items: int, generator: np.random.Generator) -> Float[np.ndarray, "I I"]:
    """A few likely successors of every title, other than itself, one of them the likeliest."""
    num_successors = min(NUM_SUCCESSORS, num_items - 1)
    chances = generator.random((num_items, num_items))
    np.fill_diagonal(chances, -1.0)
    chosen = np.argsort(-chances, axis=1, kind="stable")[:, :num_successors]
    weights = 0.5 ** np.arange(num_successors)
    kernel = np.zeros((num_items, num_items))
    np.put_along_axis(kernel, chosen, weights / weights.sum(), axis=1)
    return kernel
