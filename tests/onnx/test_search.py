"""The search of a catalog by a graph, and calls of the decoder's graph, against plain NumPy."""

import numpy as np
import pytest

from seqrec.onnx.catalog_search import CatalogSearch
from seqrec.onnx.folder import open_onnx
from seqrec.onnx.inputs import CALL_POSITIONS, group_by_length
from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.allowed_items import AllowedItems
from tests.conftest import save_small_model


def test_the_best_items_without_excluded_ones_lower_items_first_among_equals():
    rng = np.random.default_rng(0)
    vectors = rng.integers(-2, 3, (40, 3)).astype(np.float32)  # many products are equal
    states = rng.integers(-2, 3, (9, 3)).astype(np.float32)
    excluded = [rng.integers(0, 40, size) for size in (0, 1, 5, 40, 3, 0, 2, 2, 7)]
    excluded[3] = np.arange(40)
    excluded[4] = np.array([-1, 40, 700])  # items of no catalog
    search = CatalogSearch(vectors)
    for k in (1, 7, 40):
        for left_out in (excluded, None):
            items, scores = search.find(states, k, left_out)
            for row in range(9):
                products = (vectors @ states[row]).astype(float)
                if left_out is not None:
                    own = left_out[row]
                    products[own[(own >= 0) & (own < 40)]] = -np.inf
                order = np.argsort(-products, kind="stable")[:k]
                expected = np.where(np.isneginf(products[order]), -1, order)
                np.testing.assert_array_equal(items[row], expected)
                np.testing.assert_array_equal(scores[row], products[order])


def test_calls_hold_every_row_once_and_little_padding():
    rng = np.random.default_rng(0)
    for number in (1, 2, 30, 200):
        lengths = rng.integers(1, 60, number)
        calls = group_by_length(lengths, 500)
        assert sorted(np.concatenate(calls)) == list(range(number))
        for rows in calls:
            assert len(rows) * lengths[rows].max() <= 500 or len(rows) == 1
            steps = np.diff(np.sort(lengths[rows]))
            assert all(steps * np.arange(1, len(rows)) <= CALL_POSITIONS)
    assert len(group_by_length(np.full(64, 20), 10_000)) == 1
    assert group_by_length(np.array([], dtype=np.int64), 10) == []


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A model by PyTorch and by ONNX Runtime."""
    folder = tmp_path_factory.mktemp("model")
    save_small_model(folder)
    return Recommender.from_pretrained(folder), open_onnx(folder)


def test_lists_are_those_of_pytorch(both):
    own, other = both
    rng = np.random.default_rng(0)
    histories = [rng.integers(0, own.num_items, size) for size in (3, 0, 1, 12, 0, 5, 30)]
    only = AllowedItems(own.num_items, np.arange(own.num_items) % 3 == 0)
    for options in ({}, {"exclude_seen": False}, {"allowed": only}):
        for k in (4, own.num_items + 5):
            expected, found = (one.rank(histories, k, **options) for one in both)
            np.testing.assert_array_equal(found.items, expected.items)
            np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    small = other.with_memory_limit(0.01)
    np.testing.assert_array_equal(small.rank(histories, 4).items, own.rank(histories, 4).items)
