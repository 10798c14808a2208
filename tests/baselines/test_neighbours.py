"""Item neighbours against dense arithmetic."""

import numpy as np
import pytest

from seqrec.baselines import neighbours as module
from seqrec.baselines.neighbours import item_knn
from tests.baselines.conftest import histories_of


def dense_scores(lists, asked, num_items, num_neighbours, shrinkage, target_power, history_decay):
    x = np.zeros((len(lists), num_items))
    for user, items in enumerate(lists):
        x[user, items] = 1
    n = x.sum(axis=0)
    norm = n[:, None] ** (1 - target_power) * n[None, :] ** target_power
    similar = (x.T @ x) / (norm + shrinkage)
    np.fill_diagonal(similar, 0)
    for row in similar:
        row[row < np.sort(row)[-num_neighbours]] = 0
    scores = np.zeros((len(asked), num_items))
    for row, history in enumerate(asked):
        latest = dict.fromkeys(reversed(history))
        for back, item in enumerate(latest):
            scores[row] += history_decay**back * similar[item]
    return scores


@pytest.mark.parametrize(
    "settings", [(12, 0.0, 0.5, 1.0), (3, 0.0, 0.5, 0.6), (5, 7.5, 0.0, 0.9), (12, 2.0, 0.8, 0.3)]
)
def test_neighbours_equal_their_dense_reference(random_lists, settings, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ITEMS", 5)
    names = ("num_neighbours", "shrinkage", "target_power", "history_decay")
    ranker = item_knn(histories_of(random_lists), 12, **dict(zip(names, settings, strict=True)))
    asked = random_lists[:20]
    found = ranker.score_tiles([np.array(items) for items in asked])(0, 12).numpy()
    np.testing.assert_allclose(found, dense_scores(random_lists, asked, 12, *settings), atol=2e-9)


def test_cosine_by_hand():
    histories = histories_of([[0, 1], [0, 1], [0, 2], [0, 3]])
    ranker = item_knn(histories, 4, num_neighbours=3, shrinkage=0.0, target_power=0.5)
    scores = ranker.score_tiles([np.array([0])])(0, 4)[0].tolist()
    assert scores == pytest.approx([0, 2 / 8**0.5, 1 / 2, 1 / 2], abs=1e-8)
