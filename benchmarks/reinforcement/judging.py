"""Held-out users' scores of slates: by a reward model, and by their later ratings."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import torch

from benchmarks.preference.later import LIKED, Judged, beside, judged
from seqrec.data.feedback.holdout import holdout_levels
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TEST
from seqrec.models.folder import load_model, load_reward_model
from seqrec.rl.frontier import FrontierPoint, compute_frontier
from seqrec.rl.plackett_luce import PlackettLuceSampler
from seqrec.rl.prompts import Prompts, select_prompts
from seqrec.rl.rewards import LearnedReward
from seqrec.rl.worker import RolloutWorker

SLATE_SIZE = 3
NUM_SAMPLED = 8
BATCH = 64


@dataclass(frozen=True)
class People:
    """Users with a hash below a share: unseen by the reward model and the policy."""

    data: Path
    held_out_share: float

    @cached_property
    def prepared(self) -> PreparedData:
        """The folder of ``last-n``."""
        return PreparedData.open(self.data)

    @cached_property
    def numbers(self) -> np.ndarray:
        """Their rows in ``users.parquet``."""
        levels = holdout_levels(self.prepared.users()["user_id"])
        return np.flatnonzero(levels < self.held_out_share)

    @cached_property
    def prompts(self) -> Prompts:
        """Their histories, all that is before the test part, and how they rated it."""
        of = self.prepared.histories(["rating"])
        ends = [int((of.split[a:b] != TEST).sum()) for a, b in self._spans(of.offsets)]
        spans = [(a, a + n) for (a, _), n in zip(self._spans(of.offsets), ends, strict=True)]
        histories = [of.items[a:b] for a, b in spans]
        ratings = [of.columns["rating"][a:b] for a, b in spans]
        later = [history[:0] for history in histories]  # nothing of the test part is told
        return Prompts(self.numbers, histories, later, past_ratings=ratings)

    def _spans(self, offsets: np.ndarray) -> list[tuple[int, int]]:
        return [(int(offsets[user]), int(offsets[user + 1])) for user in self.numbers]

    def top(self, run: Path) -> np.ndarray:
        """The first items of a run's lists."""
        users = self.prepared.users().select("user_id").with_row_index("user")
        items = self.prepared.items().select("item_id").with_row_index("item")
        lists = pl.read_parquet(beside(run, "lists")).filter(pl.col("rank") <= SLATE_SIZE)
        table = lists.join(users, on="user_id").join(items, on="item_id").sort("user", "rank")
        return table["item"].to_numpy().reshape(-1, SLATE_SIZE)[self.numbers].astype(np.int64)

    def of(self, run: Path) -> Judged:
        """Later ratings of a run's lists, and of its first items."""
        found = judged(run, self.data)
        values = {name: of_user[self.numbers] for name, of_user in found.values.items()}
        return Judged(values, found.liked[:, self.numbers], found.disliked[:, self.numbers])

    def has_liked(self, slates: np.ndarray) -> np.ndarray:
        """By user: whether a slate holds an item that they rated 4 or 5 later."""
        rows = pl.read_parquet(self.data / "interactions.parquet")
        is_liked = (pl.col("split") == TEST) & (pl.col("rating") >= LIKED)
        later = rows.filter(is_liked).group_by("user").agg(pl.col("item"))
        titles = dict(zip(later["user"].to_list(), later["item"].to_list(), strict=True))
        return np.array(
            [
                float(bool(set(slate.tolist()) & set(titles.get(int(user), []))))
                for user, slate in zip(self.numbers, slates, strict=True)
            ]
        )

    def rewards(self, reward: Path, slates: np.ndarray) -> np.ndarray:
        """A reward model's scores of slates, by user: the mean over theirs."""
        scorer = LearnedReward(load_reward_model(reward / "model"))
        slates = slates.reshape(len(slates), -1, SLATE_SIZE)
        scores = [
            scorer.score(select_prompts(self.prompts, part), slates[part]) for part in self._parts()
        ]
        return np.concatenate(scores).mean(axis=1)

    def sampled(self, run: Path, temperature: float, seed: int) -> np.ndarray:
        """Slates sampled at a temperature, all items after the history."""
        model = load_model(run / "model")
        sampler = PlackettLuceSampler(NUM_SAMPLED, SLATE_SIZE, temperature, model.config.max_length)
        worker = RolloutWorker(model, sampler, seed, 0)
        with torch.no_grad():
            drawn = [
                worker.generate(select_prompts(self.prompts, part), number)
                for number, part in enumerate(self._parts())
            ]
        return np.concatenate([rollouts.items for rollouts in drawn])

    def frontier(self, start: Path, reward: Path) -> list[FrontierPoint]:
        """The frontier of that start for a reward model's scores, with recall of the test part."""
        of = self.prepared.histories()
        later = [of.items[a:b][of.split[a:b] == TEST] for a, b in self._spans(of.offsets)]
        model = load_model(start / "model")
        return compute_frontier(
            model,
            LearnedReward(load_reward_model(reward / "model")),
            replace(self.prompts, later=later),
            slate_size=SLATE_SIZE,
            max_length=model.config.max_length,
        )

    def _parts(self) -> list[slice]:
        return [slice(start, start + BATCH) for start in range(0, len(self.numbers), BATCH)]
