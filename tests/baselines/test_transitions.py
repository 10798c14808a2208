"""Transition graphs against counts by hand and a loop over all pairs."""

import numpy as np
import pytest

from seqrec.baselines import build_baseline
from seqrec.baselines.transitions import transition_graph
from tests.baselines.conftest import histories_of


def test_transitions_rank_by_what_followed_the_last_item():
    histories = histories_of([[0, 1, 2], [0, 1], [0, 2], [3, 0, 1], [2, 2]])
    ranked = build_baseline("transitions", histories, 5).rank([np.array([4, 0])], 3)
    assert ranked.items[0, :2].tolist() == [1, 2]
    assert ranked.scores[0, :2].tolist() == pytest.approx([3 / 4, 1 / 4])


def test_an_item_without_successors_is_answered_by_popularity():
    histories = histories_of([[0, 1], [2, 1], [0, 3]])
    for name in ("transitions", "transition-graph"):
        ranked = build_baseline(name, histories, 5).rank([np.array([4]), np.array([], int)], 3)
        assert ranked.items.tolist() == [[0, 1, 2], [0, 1, 2]]


def scores_by_loops(lists, history, num_items, max_steps, edge_decay, history_decay):
    weight = np.zeros((num_items, num_items))
    for items in lists:
        for i, source in enumerate(items):
            for distance, target in enumerate(items[i + 1 : i + 1 + max_steps], 1):
                weight[source, target] += edge_decay ** (distance - 1)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    scores = np.zeros(num_items)
    for back, item in enumerate(reversed(history[-max_steps:])):
        scores += history_decay**back * weight[item]
    return scores


@pytest.mark.parametrize("settings", [(1, 1.0, 1.0), (3, 0.5, 0.9), (10, 0.7, 0.7), (20, 1.0, 0.2)])
def test_the_graph_equals_loops_over_users_and_items(random_lists, settings):
    names = ("max_steps", "edge_decay", "history_decay")
    keywords = dict(zip(names, settings, strict=True))
    graph = transition_graph(histories_of(random_lists), 12, **keywords)
    found = graph.score_tiles([np.array(items) for items in random_lists])(0, 12).numpy()
    wanted = [scores_by_loops(random_lists, items, 12, *settings) for items in random_lists]
    np.testing.assert_allclose(found, wanted, atol=2e-9)


def test_no_transition_joins_two_users_or_reads_held_out_items():
    histories = histories_of([[0, 1, 2, 3], [4, 0, 2, 1]], num_held_out=1)
    graph = transition_graph(histories, 5)
    scores = graph.score_tiles([np.array([i]) for i in range(5)])(0, 5).numpy()
    assert {(i, j) for i, j in np.argwhere(scores > 0.5)} == {(0, 1), (4, 0)}
