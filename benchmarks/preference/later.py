"""Later interactions of users with recommended items: liked, disliked, or watched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.engine.prepared import FOLDER
from benchmarks.quality.table import seqrec
from seqrec.evaluation.comparison import Comparison, compare
from seqrec.evaluation.significance import holm

LIKED, DISLIKED = 4, 2
DEPTH, DEEP = 10, 50
LIKED_HITS = "liked among hits of the top 10"
RECALL = f"recall@{DEPTH}"
"""The largest tolerated relative loss."""


@dataclass(frozen=True)
class Judged:
    """One run, per user; NaN where a metric needs items that the user does not have."""

    values: Mapping[str, np.ndarray]
    """By metric, of the users in the order of the data."""
    liked: np.ndarray
    """By depth from 1 on and user: the share of the items liked later within that depth."""
    disliked: np.ndarray
    """By depth and user: whether an item disliked later is within that depth."""

    def disliked_at_recall(self, recall: float) -> np.ndarray:
        """By user: whether lists cut at equal recall of liked items hold a disliked item,
        interpolated between two depths."""
        curve = np.nanmean(self.liked, axis=1)
        depth = np.interp(recall, curve, np.arange(len(curve)))
        low = int(depth)
        high, share = min(low + 1, len(curve) - 1), depth - low
        return (1 - share) * self.disliked[low] + share * self.disliked[high]

    def mean(self, metric: str) -> float:
        """Over the users who have it."""
        return float(np.nanmean(self.values[metric]))


def beside(run: Path, name: str) -> Path:
    """The file of some results of a run; no verb writes into a run that it reads."""
    folder = FOLDER / "lists"
    folder.mkdir(exist_ok=True)
    return folder / f"{run.parent.name}-{run.name}-{name}.parquet"


def judged(run: Path, data: Path, *options: str) -> Judged:
    """Scores of a run's lists on the items held out by ``last-n``; options of ``recommend``."""
    file = beside(run, "lists")
    seqrec(
        *("recommend", str(run), "--data", str(data), "--k", str(DEEP)),
        *("--out", str(file), "--overwrite", *options),
    )
    lists = pl.read_parquet(file).select("user_id", "item_id", "rank")
    users = pl.read_parquet(data / "users.parquet").select("user_id").with_row_index("user")
    items = pl.read_parquet(data / "items.parquet").select("item_id").with_row_index("item")
    rows = pl.read_parquet(data / "interactions.parquet").with_columns(
        pl.col("user").cast(pl.UInt32), pl.col("item").cast(pl.UInt32)
    )
    later = rows.filter(pl.col("split") == pl.col("split").max()).select("user", "item", "rating")
    found = (
        later.join(items, on="item")
        .join(users, on="user")
        .join(lists, on=["user_id", "item_id"], how="left")
    )
    return Judged(per_user(found, len(users)), *by_depth(found, len(users)))


def rightly_ordered(run: Path, data: Path, *options: str) -> np.ndarray:
    """By user: the share of pairs of a later liked and a later disliked item in the right order.

    The run ranks each user's rated later items; NaN for users without both kinds.
    """
    items, users = (
        pl.read_parquet(data / f"{kind}s.parquet").select(f"{kind}_id").with_row_index(kind)
        for kind in ("item", "user")
    )
    rows = pl.read_parquet(data / "interactions.parquet").with_columns(
        pl.col("user").cast(pl.UInt32), pl.col("item").cast(pl.UInt32)
    )
    later = (
        rows.filter(pl.col("split") == pl.col("split").max())
        .join(items, on="item")
        .join(users, on="user")
        .select("user", "user_id", "item_id", "rating")
    )
    given, file = beside(run, "later"), beside(run, "ordered")
    later.select("user_id", "item_id").write_parquet(given)
    seqrec(
        *("recommend", str(run), "--data", str(data), "--candidates", str(given)),
        *("--out", str(file), "--overwrite", *options),
    )
    ranked = later.join(pl.read_parquet(file), on=["user_id", "item_id"])
    liked, disliked = (
        ranked.filter(kept).select("user", "rank")
        for kept in (pl.col("rating") >= LIKED, pl.col("rating") <= DISLIKED)
    )
    pairs = liked.join(disliked, on="user", suffix="_disliked")
    right = pairs.group_by("user").agg((pl.col("rank") < pl.col("rank_disliked")).mean())
    shares = np.full(len(users), np.nan)
    shares[right["user"].to_numpy()] = right["rank"].to_numpy()
    return shares


def per_user(found: pl.DataFrame, num_users: int) -> dict[str, np.ndarray]:
    """The metrics, from every later item with its rating and its rank, if it was recommended."""
    is_liked, is_disliked = pl.col("rating") >= LIKED, pl.col("rating") <= DISLIKED
    in_top, gain = pl.col("rank") <= DEPTH, 1 / (pl.col("rank") + 1).log(2)
    ideal = (1 / np.log2(np.arange(DEPTH) + 2)).cumsum()
    table = found.group_by("user").agg(
        pl.len().alias("num"),
        (in_top.fill_null(False)).sum().alias("hits"),
        pl.col("rank").is_not_null().sum().alias("deep_hits"),
        is_liked.sum().alias("num_liked"),
        (is_liked & in_top).fill_null(False).sum().alias("liked_hits"),
        (gain.filter(is_liked & in_top)).sum().alias("liked_gain"),
        is_disliked.sum().alias("num_disliked"),
        (is_disliked & in_top).fill_null(False).any().alias("has_disliked"),
    )
    best = ideal[np.minimum(np.maximum(table["num_liked"].to_numpy(), 1), DEPTH) - 1]
    liked = table["num_liked"].to_numpy().astype(float)
    liked[liked == 0] = np.nan
    hits = table["hits"].to_numpy().astype(float)
    hits[hits == 0] = np.nan
    columns = {
        RECALL: table["hits"].to_numpy() / table["num"].to_numpy(),
        f"recall@{DEEP}": table["deep_hits"].to_numpy() / table["num"].to_numpy(),
        "ndcg@10 on liked": table["liked_gain"].to_numpy() / best * (liked / liked),
        LIKED_HITS: table["liked_hits"].to_numpy() / hits,
        "recall@10 on liked": table["liked_hits"].to_numpy() / liked,
        "lists with a disliked title": np.where(
            table["num_disliked"].to_numpy() > 0, table["has_disliked"].to_numpy(), np.nan
        ).astype(float),
    }
    answers = {}
    for name, values in columns.items():
        answers[name] = np.full(num_users, np.nan)
        answers[name][table["user"].to_numpy()] = values
    return answers


def by_depth(found: pl.DataFrame, num_users: int) -> tuple[np.ndarray, np.ndarray]:
    """The per-depth values of ``Judged``; NaN for users who liked, or disliked, nothing later."""
    curves = []
    for which in (pl.col("rating") >= LIKED, pl.col("rating") <= DISLIKED):
        titles = found.filter(which)
        users, ranks = titles["user"].to_numpy(), titles["rank"].fill_null(DEEP + 1).to_numpy()
        num = np.bincount(users, minlength=num_users).astype(float)
        num[num == 0] = np.nan
        hits = [np.bincount(users[ranks <= d], minlength=num_users) for d in range(1, DEEP + 1)]
        curves.append((np.stack(hits), num))
    (liked, num_liked), (disliked, num_disliked) = curves
    return liked / num_liked, np.where(np.isnan(num_disliked), np.nan, disliked > 0)


def by_seed(runs: Sequence[Judged], metric: str) -> np.ndarray:
    """A row a seed, a column a user."""
    return np.stack([run.values[metric] for run in runs])


def mean_of(values: np.ndarray) -> float:
    """Over the users who have a metric in every seed."""
    return float(np.nanmean(values.mean(axis=0)))


def verdicts(
    table: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]],
) -> dict[tuple[str, str], str]:
    """Verdicts on the differences of a table, with p-values Holm-adjusted over the table.

    A difference is significant if its mean over seeds is, and every seed has the same sign.

    Args:
        table: by metric and system, its values and those compared against, one row per
            seed and one column per user; users who lack one of them are left out.
    """
    found = {key: _comparison(*key, *sides) for key, sides in table.items()}
    adjusted = holm([one.p_value for one in found.values()])
    return {
        key: _told(replace(one, p_value=p_value))
        for (key, one), p_value in zip(found.items(), adjusted, strict=True)
    }


def _comparison(metric: str, system: str, ours: np.ndarray, others: np.ndarray) -> Comparison:
    has_both = ~np.isnan(np.vstack([ours, others])).any(axis=0)
    scores = {system: ours[:, has_both], "other": others[:, has_both]}
    (found,) = compare(scores, np.flatnonzero(has_both), metric=metric)
    return found


def _told(found: Comparison) -> str:
    low, high = (bound / found.base for bound in found.interval)
    verdict = "significant" if found.is_significant else "not significant"
    if found.metric == RECALL:
        verdict += ", non-inferior" if found.is_not_inferior else ", may be inferior"
    return (
        f"{found.relative:+.1%} (95 % {low:+.1%} to {high:+.1%}), p = {found.p_value:.4f} "
        f"after Holm: {verdict}"
    )
