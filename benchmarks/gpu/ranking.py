"""Ranked lists against the CPU's, and histories ranked in a second."""

import copy
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.engine.rows import Row
from benchmarks.gpu.losses import relative_error
from benchmarks.gpu.place import Place
from benchmarks.gpu.world import build_world
from seqrec.evaluation.protocol import build_queries
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.recommender import Recommender

NAME = Path(__file__).stem
K = 10
SAME_ITEMS, SCORE_ERROR = 0.999, 1e-4
"""Smallest share of equal places, since scores that are nearly equal may change places; largest
relative error of the scores."""
NUM_RUNS = 3


def measure(place: Place) -> Iterator[Row]:
    """Yield agreement with the CPU, and the rate."""
    world = build_world(place)
    prepared, recommender = world.prepared, Recommender.from_pretrained(world.start)
    queries = build_queries(prepared.histories(), "test", prepared.targets)
    tokens = recommender.tokens
    expected = ModelRanker("cpu", recommender.model, tokens).rank(queries.histories, K)
    model = copy.deepcopy(recommender.model).to(place.device)
    ranker = ModelRanker("device", model, tokens)
    actual = ranker.rank(queries.histories, K)
    same = float((actual.items == expected.items).float().mean())
    yield place.check_at_least(NAME, f"top {K}: share of equal places", same, SAME_ITEMS)
    is_ranked = expected.items >= 0
    error = relative_error(
        torch.sort(actual.scores[is_ranked]).values, torch.sort(expected.scores[is_ranked]).values
    )
    yield place.check_at_most(NAME, f"top {K}: relative error of scores", error, SCORE_ERROR)
    seconds = place.time_calls(lambda: ranker.rank(queries.histories, K), NUM_RUNS)
    rates = [len(queries.users) / one for one in seconds]
    work = f"top {K} of {prepared.num_items:,} items"
    yield place.figure(NAME, work, rates, "users/s")
