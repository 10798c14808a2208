"""The product of transition experts against its formula in loops, and its claim of probability."""

import numpy as np
import pytest

from seqrec.baselines import build_baseline
from seqrec.baselines.transition_product import head_and_tail, transition_product
from seqrec.errors import SeqRecError
from tests.baselines.conftest import histories_of

NUM_ITEMS = 12


def count_by_loops(lists, max_steps, exponent):
    counts = np.zeros((NUM_ITEMS, NUM_ITEMS))
    for items in lists:
        for i, source in enumerate(items):
            for distance, target in enumerate(items[i + 1 : i + 1 + max_steps], 1):
                counts[source, target] += 1 / distance**exponent
    return counts


def weights_by_hand(length, num_recent, share, decay):
    recent = [decay**j for j in range(min(length, num_recent))]
    if length <= num_recent:
        return [one / sum(recent) for one in recent]
    rest = [(1 - share) / (length - num_recent)] * (length - num_recent)
    return [share * one / sum(recent) for one in recent] + rest


@pytest.mark.parametrize(
    ("max_steps", "exponent", "smoothing", "num_recent", "share", "decay", "penalty"),
    [
        (1, 0.0, 5.0, 3, 1.0, 1.0, 0.0),
        (10, 0.5, 90.0, 50, 1.0, 0.6, 0.04),
        (20, 1, 9, 4, 0.8, 0.6, 0.4),
    ],
)
def test_scores_equal_the_formula_in_loops(
    random_lists, max_steps, exponent, smoothing, num_recent, share, decay, penalty
):
    ranker = transition_product(
        histories_of(random_lists),
        NUM_ITEMS,
        max_steps=max_steps,
        distance_exponent=exponent,
        smoothing=smoothing,
        recent_items=num_recent,
        recent_share=share,
        history_decay=decay,
        popularity_penalty=penalty,
    )
    actual = ranker.score_tiles([np.array(items) for items in random_lists])(0, NUM_ITEMS).numpy()
    counts = count_by_loops(random_lists, max_steps, exponent)
    popularity = np.bincount(np.concatenate(random_lists), minlength=NUM_ITEMS) + 1
    bias = penalty * np.log(popularity / popularity.sum())
    for items, scores in zip(random_lists, actual, strict=True):
        weights = weights_by_hand(len(items), num_recent, share, decay)
        expected = sum(
            weight * np.log(1 + counts[item] * NUM_ITEMS / smoothing)
            for weight, item in zip(weights, reversed(items), strict=True)
        )
        np.testing.assert_allclose(scores, expected - bias, atol=2e-9)


def test_without_a_penalty_the_softmax_is_the_weighted_product_of_smoothed_experts(random_lists):
    """The experts are transition counts with pseudo-counts, normalised; nothing is left out."""
    smoothing, history = 7.0, np.array([3, 8, 1])
    ranker = transition_product(
        histories_of(random_lists),
        NUM_ITEMS,
        max_steps=10,
        distance_exponent=0.5,
        smoothing=smoothing,
        recent_items=5,
        history_decay=0.5,
        popularity_penalty=0.0,
    )
    scores = ranker.score_tiles([history])(0, NUM_ITEMS).numpy()[0]
    counts = count_by_loops(random_lists, 10, 0.5) + smoothing / NUM_ITEMS
    experts = counts / counts.sum(axis=1, keepdims=True)
    product = experts[1] ** (4 / 7) * experts[8] ** (2 / 7) * experts[3] ** (1 / 7)
    probabilities = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(probabilities, product / product.sum(), rtol=1e-7)


def test_weights_of_every_history_sum_to_1_and_repeated_items_count_each_time():
    lengths = np.array([1, 3, 4, 9])
    steps = np.concatenate([np.arange(length) for length in lengths])
    weights = head_and_tail(4, 0.8, 0.6)(steps, np.repeat(lengths, lengths))
    ends = np.cumsum(lengths)
    sums = [weights[end - length : end].sum() for end, length in zip(ends, lengths, strict=True)]
    assert sums == pytest.approx([1, 1, 1, 1])
    assert weights[-5:] == pytest.approx([0.2 / 5] * 5)
    assert weights[-9:-5].sum() == pytest.approx(0.8)


def test_only_training_counts_and_no_pair_joins_two_users():
    histories = histories_of([[0, 1, 2, 3], [4, 0, 2, 1]], num_held_out=1)
    ranker = transition_product(histories, 5, popularity_penalty=0.0)
    scores = ranker.score_tiles([np.array([i]) for i in range(5)])(0, 5).numpy()
    assert {(i, j) for i, j in np.argwhere(scores > 1e-6)} == {(0, 1), (4, 0)}


def test_a_penalty_prefers_the_rarer_of_two_items_with_equal_evidence():
    histories = histories_of([[0, 1], [0, 2], [3, 2], [4, 2]])
    plain = build_baseline("pctm", histories, 5, {"popularity_penalty": 0.0})
    penalised = build_baseline("pctm", histories, 5, {"popularity_penalty": 0.5})
    assert plain.rank([np.array([0])], 2).items.tolist() == [[2, 1]]
    assert penalised.rank([np.array([0])], 1).items.tolist() == [[1]]


def test_experts_need_pseudo_transitions():
    with pytest.raises(SeqRecError, match="pctm: smoothing=0: more than 0"):
        build_baseline("pctm", histories_of([[0, 1]]), 2, {"smoothing": 0.0})
