"""Metrics of likes: by hand, against all pairs, and bootstraps over people."""

import numpy as np
import pytest

from seqrec.evaluation.likes import auc, auc_difference, calibration_error, log_loss


def auc_of_pairs(scores, is_liked):
    """Every pair of a liked and another event, one by one."""
    wins = [
        1.0 if liked > other else 0.5 if liked == other else 0.0
        for liked in scores[is_liked]
        for other in scores[~is_liked]
    ]
    return np.mean(wins)


@pytest.mark.parametrize("num_values", [2, 5, 1000])
def test_auc_is_the_share_of_pairs_in_order_ties_halved(generator, num_values):
    for _ in range(5):
        scores = generator.integers(0, num_values, 60) / 7
        is_liked = generator.random(60) < 0.4
        assert auc(scores, is_liked) == pytest.approx(auc_of_pairs(scores, is_liked), abs=1e-12)


def test_auc_by_hand():
    is_liked = np.array([True, True, False, False])
    assert auc(np.array([4.0, 3, 2, 1]), is_liked) == 1
    assert auc(np.array([4.0, 2, 3, 1]), is_liked) == 3 / 4
    assert auc(np.array([1.0, 1, 1, 1]), is_liked) == 1 / 2
    assert auc(np.array([2.0, 1, 1, 0]), is_liked) == (2 + 1.5) / 4
    assert np.isnan(auc(np.ones(3), np.ones(3, dtype=bool)))


def test_calibration_error_by_hand():
    chances = np.array([0.05, 0.15, 0.12, 0.95, 1.0])
    labels = np.array([0.0, 1, 0, 1, 0])
    # bins: {.05} off by .05; {.15, .12} off by |.27 - 1|; {.95, 1} off by |1.95 - 1|
    expected = (0.05 + 0.73 + 0.95) / 5
    assert calibration_error(chances, labels) == pytest.approx(expected)
    assert calibration_error(labels, labels) == 0
    assert calibration_error(np.array([0.3, 0.3]), np.array([0.1, 0.5])) == pytest.approx(0)
    assert log_loss(chances[:2], labels[:2]) == pytest.approx(-np.log([0.95, 0.15]).mean())
    half = -(0.5 * np.log(0.2) + 0.5 * np.log(0.8))
    assert log_loss(np.array([0.2]), np.array([0.5])) == pytest.approx(half)
    assert np.isfinite(log_loss(np.array([0.0]), np.array([1.0])))


def test_a_difference_of_aucs_is_judged_by_drawing_people(generator):
    users = np.repeat(np.arange(40), 10)
    is_liked = generator.random(400) < 0.5
    good = is_liked + generator.normal(0, 1, 400)
    poor = is_liked + generator.normal(0, 4, 400)
    found = auc_difference(good, poor, is_liked, users, num_draws=200, seed=0)
    assert found.difference == pytest.approx(auc(good, is_liked) - auc(poor, is_liked))
    assert 0 < found.low < found.difference < found.high and found.num_users == 40
    assert found.p_value == pytest.approx(2 / 200)
    same = auc_difference(good, good, is_liked, users, num_draws=50, seed=0)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    reverse = auc_difference(poor, good, is_liked, users, num_draws=200, seed=0)
    assert (reverse.low, reverse.high) == pytest.approx((-found.high, -found.low))


def test_a_draw_counts_the_events_of_people_as_often_as_they_are_drawn(monkeypatch, generator):
    from seqrec.evaluation import likes

    times = np.array([2, 0, 1])
    users = np.array([0, 0, 1, 1, 2, 2])
    is_liked = np.array([True, False, True, False, True, False])
    first, second = generator.random((2, 6))
    monkeypatch.setattr(likes, "user_draws", lambda *_: iter([times[None]]))
    found = auc_difference(first, second, is_liked, users, num_draws=1, seed=0)
    rows = np.repeat(np.arange(6), times[users])
    expected = auc_of_pairs(first[rows], is_liked[rows]) - auc_of_pairs(
        second[rows], is_liked[rows]
    )
    assert found.low == found.high == pytest.approx(expected)
