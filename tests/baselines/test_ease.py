"""EASE against one ridge regression an item."""

import numpy as np
import pytest
import torch

from seqrec.baselines import ease as module
from seqrec.baselines.ease import EASE, ease_weights
from seqrec.errors import SeqRecError
from tests.baselines.conftest import histories_of


def weights_by_columns(x, l2):
    """Every item regressed on all others: the penalised least squares, one column at a time."""
    num_items = x.shape[1]
    weights = np.zeros((num_items, num_items))
    for item in range(num_items):
        others = np.delete(np.arange(num_items), item)
        rows = np.vstack([x[:, others], np.sqrt(l2) * np.eye(num_items - 1)])
        target = np.concatenate([x[:, item], np.zeros(num_items - 1)])
        weights[others, item] = np.linalg.lstsq(rows, target, rcond=None)[0]
    return weights


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@pytest.mark.parametrize("l2", [0.5, 20.0])
def test_the_weights_equal_a_regression_of_each_item_on_the_others(generator, dtype, tolerance, l2):
    x = (generator.random((40, 9)) < 0.4).astype(float)
    found = ease_weights(torch.from_numpy(x.T @ x).to(dtype), l2)
    np.testing.assert_allclose(found.numpy(), weights_by_columns(x, l2), atol=tolerance)


@pytest.mark.parametrize("double_items", [0, 100])
def test_scores_sum_the_weights_of_a_history(random_lists, monkeypatch, double_items):
    monkeypatch.setattr(module, "MAX_DOUBLE_ITEMS", double_items)
    x = np.zeros((len(random_lists), 12))
    for user, items in enumerate(random_lists):
        x[user, items] = 1
    weights = weights_by_columns(x, 3.0)
    asked = [np.array(items) for items in random_lists]
    plain = EASE(histories_of(random_lists), 12, l2=3.0, history_decay=1.0)
    np.testing.assert_allclose(plain.score_tiles(asked)(0, 12), x @ weights, atol=1e-4)
    decayed = EASE(histories_of(random_lists), 12, l2=3.0, history_decay=0.5)
    wanted = 0.5 * weights[4] + weights[7] + 0.25 * weights[1]
    found = decayed.score_tiles([np.array([7, 1, 4, 7])])(0, 12)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_catalog_too_large_and_a_penalty_too_small_are_refused():
    with pytest.raises(SeqRecError, match="up to 24,000 items"):
        EASE(histories_of([[0, 1]]), 1_000_000)
    with pytest.raises(SeqRecError, match="l2=0.0: too small"):
        EASE(histories_of([[0, 1]]), 2, l2=0.0)
