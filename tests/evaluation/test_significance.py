"""Randomisation, bootstrap and Holm against enumeration, theory and hand arithmetic."""

from itertools import product

import numpy as np
import pytest

from seqrec.errors import SeqRecError
from seqrec.evaluation import significance
from seqrec.evaluation.significance import bootstrap_interval, holm, paired_randomization


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_the_p_value_approaches_the_enumeration_of_all_signs(shift):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(10) + shift, rng.standard_normal(10)
    differences = a - b
    sums = np.array([differences @ signs for signs in product([-1, 1], repeat=10)])
    exact = np.mean(np.abs(sums) >= abs(differences.sum()) - 1e-12)
    test = paired_randomization(a, b, num_draws=40_000, seed=1)
    assert test.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 40_000))
    assert test.difference == pytest.approx(a.mean() - b.mean())
    assert test.num_users == 10


def test_p_values_are_uniform_when_the_models_are_alike():
    rng = np.random.default_rng(0)
    p_values = [
        paired_randomization(*rng.standard_normal((2, 40)), num_draws=199, seed=seed).p_value
        for seed in range(1000)
    ]
    for level in (0.05, 0.2, 0.5, 0.8):
        share = np.mean(np.array(p_values) <= level)
        assert share == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 1000))


def test_ties_between_draws_and_the_observed_mean_are_extreme():
    ones, zeros = np.full(3, 0.1), np.zeros(3)
    test = paired_randomization(ones, zeros, num_draws=40_000, seed=0)
    assert test.p_value == pytest.approx(2 / 8, abs=0.01)
    one_user = paired_randomization(ones[:1], zeros[:1], num_draws=100, seed=0)
    assert one_user.p_value == 1


def test_equal_models_have_p_value_1_and_clear_winners_the_least_possible():
    scores = np.random.default_rng(0).random(50)
    assert paired_randomization(scores, scores, num_draws=100, seed=0) == (0.0, 1.0, 50)
    assert paired_randomization(scores + 1, scores, num_draws=999, seed=0).p_value == 1 / 1000


def test_swapping_the_models_turns_the_sign_only():
    a, b = np.random.default_rng(0).random((2, 30))
    forth = paired_randomization(a, b, seed=5)
    back = paired_randomization(b, a, seed=5)
    assert back == (-forth.difference, forth.p_value, forth.num_users)


def test_chunks_do_not_change_the_verdict(monkeypatch):
    a, b = np.random.default_rng(0).random((2, 64))
    p_value = paired_randomization(a, b, num_draws=5000, seed=0).p_value
    interval = bootstrap_interval(a - b, num_draws=2000, seed=0)
    monkeypatch.setattr(significance, "NUMBERS_HELD", 64 * 100)
    assert paired_randomization(a, b, num_draws=5000, seed=0).p_value == p_value
    assert bootstrap_interval(a - b, num_draws=2000, seed=0) == interval


def test_the_bootstrap_interval_is_near_the_normal_one():
    values = np.random.default_rng(0).exponential(size=2000)
    low, high = bootstrap_interval(values, num_draws=4000, seed=0)
    half = 1.959964 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)
    narrow = bootstrap_interval(values, num_draws=4000, seed=0, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_the_bootstrap_of_a_constant_is_that_constant():
    assert bootstrap_interval(np.full(7, 0.25), num_draws=50, seed=0) == (0.25, 0.25)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.5]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_scores_of_nobody_of_different_users_or_nan_are_refused():
    with pytest.raises(SeqRecError, match="3 users against 2"):
        paired_randomization(np.zeros(3), np.zeros(2), seed=0)
    with pytest.raises(SeqRecError, match="empty or hold NaN"):
        paired_randomization(np.zeros(0), np.zeros(0), seed=0)
    with pytest.raises(SeqRecError, match="empty or hold NaN"):
        bootstrap_interval(np.array([0.1, np.nan]), seed=0)
