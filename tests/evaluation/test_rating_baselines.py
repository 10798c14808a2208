"""Baselines of reward models: by hand, and in a log whose mild and strict people are known."""

import numpy as np
import pytest

from seqrec.evaluation.likes import auc, calibration_error
from seqrec.evaluation.rating_baselines import (
    RatedLog,
    RatingBaselines,
    fit_logistic,
    past_mean,
    slate_chances,
)


def test_past_means_are_of_the_same_users_earlier_events():
    values = np.array([1.0, 3, 5, 2, 4])
    users = np.array([0, 0, 0, 7, 7])
    np.testing.assert_allclose(past_mean(values, users, 1.0), [0, 1 / 2, 4 / 3, 0, 2 / 2])


def test_a_logistic_function_finds_its_slope_and_shift(generator):
    scores = generator.normal(size=50_000)
    is_liked = generator.random(50_000) < 1 / (1 + np.exp(-(2 * scores - 1)))
    assert fit_logistic(scores, is_liked) == pytest.approx((2, -1), abs=0.1)
    slope, _ = fit_logistic(np.array([-1.0, 1]), np.array([False, True]))
    assert np.isfinite(slope) and slope > 0


def mild_and_strict(generator, num_users, num_items=30):
    """Ratings are a title's quality, a user's mildness and luck."""
    quality = np.linspace(-1, 1, num_items)
    items = np.concatenate([generator.permutation(num_items)[:20] for _ in range(num_users)])
    users = np.repeat(np.arange(num_users), 20)
    mildness = generator.normal(0, 1, num_users)[users]
    ratings = 3.5 + quality[items] + mildness + generator.normal(0, 0.5, len(items))
    return RatedLog(items, users, ratings.round().clip(1, 5))


def test_floors_order_and_are_calibrated_on_other_people(generator):
    baselines = RatingBaselines(mild_and_strict(generator, 400), 30, liked=4)
    log = mild_and_strict(generator, 200)
    is_liked = log.ratings >= 4
    title, both = baselines.chances(log).values()
    assert auc(title, is_liked) > 0.6 and auc(both, is_liked) > auc(title, is_liked) + 0.1
    for chances in (title, both):
        assert calibration_error(chances, is_liked.astype(float)) < 0.05


def test_a_floor_knows_of_a_person_what_was_rated_before_alone(generator):
    baselines = RatingBaselines(mild_and_strict(generator, 100), 30, liked=4)
    log = mild_and_strict(generator, 1)
    changed = log._replace(ratings=np.append(log.ratings[:10], 6 - log.ratings[10:]))
    for before, after in zip(
        baselines.chances(log).values(), baselines.chances(changed).values(), strict=True
    ):
        np.testing.assert_allclose(before[:11], after[:11], rtol=1e-12)


def test_titles_say_of_slates_what_those_were_worth_that_they_stood_in():
    learned = np.array([[0, 1], [0, -1], [2, 1]])
    labels = np.array([1.0, 0.5, 0.0])
    means = 0.5 + np.array([0.5, 0.0, -0.5, 0.0]) / (np.array([2, 2, 1, 0]) + 10)
    found = slate_chances(np.array([[0, 3], [2, -1]]), learned, labels, num_items=4)
    np.testing.assert_allclose(found, [(means[0] + means[3]) / 2, means[2]])
