"""How factor models answer histories that they were not fitted to."""

import numpy as np
import pytest

from seqrec.baselines.factorization import als, bpr, mean_vectors
from seqrec.baselines.matrices import history_matrix
from seqrec.errors import SeqRecError
from tests.baselines.conftest import histories_of


def test_als_folds_a_history_in_by_its_normal_equations(random_lists):
    settings = {"factors": 4, "regularization": 0.3, "alpha": 7.0, "history_decay": 0.8}
    ranker = als(histories_of(random_lists), 12, **settings)
    items = ranker._item_factors.numpy().astype(np.float64)
    confidence = np.zeros(12)
    confidence[[2, 5, 9]] = 7.0 * np.array([0.64, 0.8, 1.0])
    watched = confidence > 0
    weights = np.where(watched, confidence, 1.0)
    system = items.T @ (weights[:, None] * items) + 0.3 * np.eye(4)
    user = np.linalg.solve(system, items.T @ confidence)
    found = ranker.score_tiles([np.array([2, 5, 9])])(0, 12)[0]
    np.testing.assert_allclose(found, items @ user, rtol=1e-3, atol=1e-5)


def test_a_mean_of_vectors_is_weighted_and_zero_without_items(generator):
    vectors = generator.random((6, 3)).astype(np.float32)
    asked = history_matrix([np.array([4, 1]), np.array([], int)], 6, decay=0.5)
    found = mean_vectors(asked, vectors)
    np.testing.assert_allclose(found[0], (vectors[1] + 0.5 * vectors[4]) / 1.5, rtol=1e-6)
    assert found[1].tolist() == [0, 0, 0]


def test_bpr_ranks_what_its_users_watched_above_the_rest(generator):
    lists = [generator.permutation(20)[:8] + 20 * (user % 2) for user in range(80)]
    ranker = bpr(histories_of([items.tolist() for items in lists]), 40, iterations=50)
    scores = ranker.score_tiles(lists)(0, 40).numpy()
    own = np.array([np.arange(40) // 20 == user % 2 for user in range(80)])
    assert scores[own].reshape(80, 20).min(axis=1).mean() > scores[~own].mean()


def test_a_fit_that_diverges_is_one_line():
    lists = [[0, 1, 2], [2, 3, 4], [1, 3, 0]]
    with pytest.raises(SeqRecError, match="bpr: could not be fitted"):
        bpr(histories_of(lists), 5, learning_rate=1e30, iterations=20)
