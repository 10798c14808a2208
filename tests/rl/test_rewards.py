"""Rewards by hand, and what is done with functions that misbehave."""

import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from seqrec.errors import SeqRecError
from seqrec.rl.prompts import Prompts
from seqrec.rl.rewards import (
    Diversity,
    Format,
    Freshness,
    FunctionReward,
    Hit,
    Mixture,
    Novelty,
    Rating,
    compute_rewards,
)

TASKS = Prompts(
    users=np.array([4, 7]),
    histories=[np.array([0]), np.array([1, 2])],
    later=[np.array([3, 1]), np.array([], dtype=int)],
    later_ratings=[np.array([0.25, 1.0]), np.array([])],
)
SLATES = np.array([[[1, 2], [3, 1]], [[0, 3], [3, 0]]])


def test_hits_and_their_ratings_by_hand():
    np.testing.assert_allclose(Hit().score(TASKS, SLATES), [[0.5, 1], [0, 0]])
    np.testing.assert_allclose(Rating().score(TASKS, SLATES), [[0.5, 0.625], [0, 0]])
    without = Prompts(TASKS.users, TASKS.histories, TASKS.later)
    with pytest.raises(SeqRecError, match="no column rating"):
        Rating().score(without, SLATES)


def test_diversity_novelty_and_freshness_by_hand():
    genres = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1]], dtype=bool)
    np.testing.assert_allclose(Diversity(genres).score(TASKS, SLATES), [[1, 2 / 3], [1 / 2, 1 / 2]])
    assert Diversity(genres).score(TASKS, SLATES[:, :, :1]).tolist() == [[0, 0], [0, 0]]
    novelty = Novelty(np.array([3, 0, 1, 0])).score(TASKS, SLATES)
    bits = np.array([1, 3, 2, 3]) / 3  # of shares 4/8, 1/8, 2/8, 1/8
    np.testing.assert_allclose(novelty, bits[SLATES].mean(axis=2))
    fresh = Freshness(np.array([1990.0, 2000, np.nan, 1980])).score(TASKS, SLATES)
    share = np.array([1, 3, 1, 0]) / 3
    np.testing.assert_allclose(fresh, share[SLATES].mean(axis=2))


def test_the_share_of_titles_that_keep_to_the_plan_by_hand():
    """Of genre and decade, one column each; 0 is a title of which it is not known."""
    codes = np.array([[1, 1], [2, 1], [1, 2], [0, 2]])
    plans = np.array([[[1, 1], [2, 2]], [[1, 2], [1, 1]]])
    found = Format(codes).score(replace(TASKS, plans=plans), SLATES)
    np.testing.assert_allclose(found, [[(1 / 2 + 1 / 2) / 2, 1 / 2], [1 / 2, 1 / 2]])
    found = Format(codes[:, :1]).score(replace(TASKS, plans=plans[:, :, :1]), SLATES)
    np.testing.assert_allclose(found, [[1 / 2, 1 / 2], [1 / 2, 1 / 2]])


def test_a_function_is_given_ids_and_mixed_by_its_weight():
    given = []

    def prefers_b(histories, slates):
        given.append((histories, slates))
        return [[sum(title == "b" for title in slate) for slate in of] for of in slates]

    own = FunctionReward(prefers_b, ["a", "b", "c", "d"], "mine", 5)
    mixture = Mixture([(2.0, own), (-1.0, Hit())])
    np.testing.assert_allclose(mixture.score(TASKS, SLATES), [[1.5, 1], [0, 0]])
    assert given[0][0] == [["a"], ["b", "c"]] and given[0][1][0] == [["b", "c"], ["d", "b"]]
    assert mixture.name == "2 mine + -1 hit"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda h, s: 1 / 0, "reward mine: raised ZeroDivisionError: division by zero"),
        (lambda h, s: [[0.0, np.nan], [0, 0]], "1 of 4 scores are not finite"),
        (lambda h, s: [[0.0], [0.0]], r"returns \(2, 1\) numbers for \(2, 2\) slates"),
        (lambda h, s: [["good", "bad"]] * 2, "returns no numbers"),
        (lambda h, s: [[1e300, 0.0], [0.0, 0.0]], "reward mine: a score is 1e.300; scale the"),
        (lambda h, s: [[-1e30, 0.0], [0.0, 0.0]], "reward mine: a score is 1e.30; scale the"),
        (lambda h, s: [[10**400, 0], [0, 0]], "reward mine: returns no numbers"),
        (lambda h, s: torch.full((2, 2), torch.inf), "reward mine: 4 of 4 scores are not finite"),
        (lambda h, s: torch.zeros(2, 2, 1), r"reward mine: returns \(2, 2, 1\) numbers"),
        (lambda h, s: sys.exit(0), "reward mine: raised SystemExit"),
        (lambda h, s: None, "reward mine: returns"),
        (lambda h, s: time.sleep(2), "no result within 0.2 seconds"),
    ],
)
def test_a_function_that_misbehaves_is_named(function, message):
    with pytest.raises(SeqRecError, match=message):
        compute_rewards(FunctionReward(function, ["a", "b", "c", "d"], "mine", 0.2), TASKS, SLATES)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_a_function_may_return_tensors_with_or_without_a_gradient(dtype):
    scores = torch.tensor([[1, 0], [2, -3]], dtype=dtype, requires_grad=dtype.is_floating_point)
    for returned in (scores, list(scores), [list(row) for row in scores]):
        reward = FunctionReward(lambda h, s, r=returned: r, ["a", "b", "c", "d"], "mine", 5)
        assert compute_rewards(reward, TASKS, SLATES).tolist() == [[1, 0], [2, -3]]
