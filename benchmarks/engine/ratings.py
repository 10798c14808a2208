"""A simulated ``ratings.csv``, written as MovieLens ships it, of any length.

    python -m benchmarks.engine.ratings --rows 25000000 --out ratings.csv

Activity and popularity are as skewed as in MovieLens-25M: users rate 20 titles at least, about
150 on average, half of them fewer than 80; the first item is rated by a good third of all
users, most items by a handful. No user rates an item twice.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int

NUM_ITEMS = 60_000
MIN_RATED, MAX_RATED = 20, NUM_ITEMS // 10
MEAN_RATED = 150
ACTIVITY_SIGMA = 1.3
"""Parameters of the log-normal number of ratings above the minimum."""
POPULARITY_OFFSET, POPULARITY_POWER = 256, 2.0
"""An item of rank ``r`` is drawn in proportion to ``(r + offset) ** -power``."""

LARGEST_MOVIE_ID = 210_000
STARS = np.arange(1, 11) / 2
STAR_SHARES = (0.016, 0.031, 0.016, 0.066, 0.050, 0.196, 0.127, 0.266, 0.088, 0.144)
FIRST_TIME, NUM_YEARS, YEAR_SECONDS = 820_454_400, 20, 31_557_600
TIED_SHARE, PAUSE_SHARE = 0.3, 0.005
"""Shares of ratings made in the same second as the previous one, and made days later."""
GAP_SECONDS, PAUSE_SECONDS = 12, 20 * 86_400

CHUNK_USERS = 20_000


def write_ratings(file: Path, num_rows: int, seed: int = 0) -> None:
    """Write that many ratings, by user and item, each user's in random order of time."""
    generator = np.random.default_rng(seed)
    counts = activity(num_rows, generator)
    weights = (np.arange(NUM_ITEMS) + POPULARITY_OFFSET) ** -POPULARITY_POWER
    cumulative = np.cumsum(weights)
    cumulative /= cumulative[-1]
    movie_ids = generator.permutation(LARGEST_MOVIE_ID)[:NUM_ITEMS] + 1
    with file.open("wb") as csv:
        for first in range(0, len(counts), CHUNK_USERS):
            part = counts[first : first + CHUNK_USERS]
            table = ratings_of(part, cumulative, movie_ids, generator)
            table = table.with_columns(pl.col("userId") + first + 1)
            table.write_csv(csv, include_header=first == 0, float_precision=1)


def activity(num_rows: int, generator: np.random.Generator) -> Int[np.ndarray, " U"]:
    """The number of ratings of each user; together ``num_rows``."""
    log_mean = np.log(MEAN_RATED - MIN_RATED) - ACTIVITY_SIGMA**2 / 2
    drawn = generator.lognormal(log_mean, ACTIVITY_SIGMA, num_rows // MIN_RATED + 1)
    counts = np.minimum(MIN_RATED + drawn.astype(np.int64), MAX_RATED)
    num_users = int(np.searchsorted(np.cumsum(counts), num_rows)) + 1
    counts = counts[:num_users]
    counts[-1] -= counts.sum() - num_rows
    if num_users > 1 and counts[-1] < MIN_RATED:
        counts[-2] += counts[-1]
        counts = counts[:-1]
    return counts


def ratings_of(
    counts: Int[np.ndarray, " U"],
    cumulative: np.ndarray,
    movie_ids: Int[np.ndarray, " I"],
    generator: np.random.Generator,
) -> pl.DataFrame:
    """The ratings of some users, who are counted from 0."""
    users, items = distinct_items(counts, cumulative, generator)
    table = pl.DataFrame(
        {
            "userId": users,
            "movieId": movie_ids[items],
            "rating": generator.choice(STARS, len(users), p=STAR_SHARES),
            "timestamp": _times(users, generator),
        }
    )
    return table.sort("userId", "movieId")


def distinct_items(
    counts: Int[np.ndarray, " U"], cumulative: np.ndarray, generator: np.random.Generator
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """Users and items, by user, an item at most once a user; in random order within a user."""
    finished = []
    pairs = np.empty(0, dtype=np.int64)
    missing = counts.copy()
    while missing.any():
        owners = np.repeat(np.arange(len(counts)), missing)
        drawn = np.searchsorted(cumulative, generator.random(len(owners)))
        pairs = np.unique(np.concatenate([pairs, owners * NUM_ITEMS + drawn]))
        found = np.bincount(pairs // NUM_ITEMS, minlength=len(counts))
        is_done = (counts - found == 0)[pairs // NUM_ITEMS]
        finished.append(pairs[is_done])
        pairs = pairs[~is_done]
        missing = np.where(found > 0, counts - found, 0)
    pairs = np.concatenate(finished)
    pairs = generator.permutation(pairs)
    pairs = pairs[np.argsort(pairs // NUM_ITEMS, kind="stable")]
    return pairs // NUM_ITEMS, pairs % NUM_ITEMS


def _times(users: Int[np.ndarray, " N"], generator: np.random.Generator) -> Int[np.ndarray, " N"]:
    """Seconds since 1970 that never fall within a user, with ties and long pauses."""
    gaps = generator.exponential(GAP_SECONDS, len(users))
    draws = generator.random(len(users))
    gaps[draws < TIED_SHARE] = 0
    pauses = np.flatnonzero(draws > 1 - PAUSE_SHARE)
    gaps[pauses] = generator.exponential(PAUSE_SECONDS, len(pauses))
    is_first = np.append(True, users[1:] != users[:-1])
    starts = FIRST_TIME + generator.random(int(is_first.sum())) * NUM_YEARS * YEAR_SECONDS
    elapsed = np.cumsum(gaps)
    elapsed -= elapsed[is_first][np.cumsum(is_first) - 1]
    return (starts[np.cumsum(is_first) - 1] + elapsed).astype(np.int64)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_ratings(options.out, options.rows, options.seed)
