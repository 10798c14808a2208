"""What lists are like: by hand, and against loops over random lists."""

from itertools import combinations

import numpy as np
import pytest

from seqrec.evaluation.beyond_accuracy import (
    SMOOTHING,
    describe_lists,
    diversity,
    find_head_items,
    miscalibration,
    novelty,
    popularity_share,
)

COUNTS = np.array([7, 3, 1, 1, 0])
GENRES = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]], dtype=bool)


def test_novelty_by_hand():
    """Shares of one more interaction each: 8/17, 4/17, 2/17, 2/17, 1/17."""
    bits = -np.log2(np.array([8, 4, 2, 2, 1]) / 17)
    found = novelty(np.array([[0, 4], [2, -1], [-1, -1]]), COUNTS)
    np.testing.assert_allclose(found, [(bits[0] + bits[4]) / 2, bits[2], np.nan])


def test_the_head_holds_half_of_the_interactions():
    assert find_head_items(COUNTS).tolist() == [True, False, False, False, False]
    assert find_head_items(np.array([2, 2, 2, 2])).tolist() == [True, True, False, False]
    assert find_head_items(np.array([5, 5, 6])).tolist() == [True, False, True]
    assert not find_head_items(np.zeros(3, int)).any()
    found = popularity_share(np.array([[0, 1], [0, -1], [-1, -1]]), COUNTS)
    np.testing.assert_allclose(found, [0.5, 1, np.nan])


def test_diversity_by_hand():
    lists = np.array([[0, 1, 2], [0, 1, -1], [0, -1, -1], [4, 4, 0], [-1, -1, -1]])
    found = diversity(lists, GENRES)
    np.testing.assert_allclose(found, [1 - 0.5 / 3, 0.5, 0, 1 - 1 / 3, np.nan], atol=1e-6)


def test_miscalibration_by_hand():
    """The history is half comedy, half drama; the list is comedy alone."""
    genres = np.array([[1, 0], [0, 1], [0, 0]], dtype=bool)
    lists = np.array([[0, 0], [0, 1], [0, -1], [2, -1]])
    histories = [np.array([0, 1]), np.array([1, 0]), np.array([2]), np.array([0])]
    found = miscalibration(lists, histories, genres)
    mixed = np.array([1 - SMOOTHING / 2, SMOOTHING / 2])
    assert found[0] == pytest.approx((0.5 * np.log(0.5 / mixed)).sum())
    assert found[1] == pytest.approx(0, abs=1e-12)
    assert np.isnan(found[2:]).all()


def test_every_measure_equals_its_loop(generator, monkeypatch):
    """Also where a few rows are taken at a time, and whatever the order of a list is."""
    monkeypatch.setattr("seqrec.evaluation.beyond_accuracy.NUMBERS_HELD", 200)
    counts = generator.integers(0, 20, 30)
    genres = generator.random((30, 4)) < 0.4
    lists = np.stack([generator.choice(30, 6, replace=False) for _ in range(25)])
    lists[3, 4:] = lists[7, 1:] = -1
    histories = [generator.integers(0, 30, 5) for _ in lists]
    found = describe_lists(lists, histories, [2, 6], counts, genres)
    shares = (counts + 1) / (counts + 1).sum()
    for query, items in enumerate(lists):
        first = [item for item in items if item >= 0]
        assert found["novelty@6"][query] == pytest.approx(np.mean(-np.log2(shares[first])))
        pairs = list(combinations(first, 2))
        alike = [
            (genres[a] & genres[b]).sum() / (genres[a] | genres[b]).sum()
            if (genres[a] | genres[b]).any()
            else 1
            for a, b in pairs
        ]
        wanted = 1 - np.mean(alike) if pairs else 0
        assert found["diversity@6"][query] == pytest.approx(wanted, abs=1e-6)
    turned = describe_lists(lists[:, ::-1], histories, [6], counts, genres)
    for key, values in turned.items():
        np.testing.assert_allclose(values, found[key], atol=1e-6)
    assert set(describe_lists(lists, histories, [2], counts, None)) == {
        "novelty@2",
        "popularity_share@2",
    }
