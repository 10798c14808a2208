"""Baselines against counts by hand and a brute-force twin."""

import numpy as np
import pytest

from seqrec.baselines import BASELINES, build_baseline
from seqrec.baselines.transitions import TransitionGraph
from seqrec.data.histories import Histories
from seqrec.data.splits import TEST, TRAIN, VALIDATION


def histories_of(lists, num_held_out=0):
    """Histories whose last items are held out: test, and before it validation."""
    split = [np.full(len(items), TRAIN, np.uint8) for items in lists]
    for part in split:
        if num_held_out:
            part[-1:] = TEST
            part[-2:-1] = VALIDATION
    offsets = np.cumsum([0, *map(len, lists)])
    items = np.concatenate([np.array(items, np.int32) for items in lists])
    return Histories(offsets, items, np.concatenate(split), {})


def test_popularity_counts_the_training_part_only():
    histories = histories_of([[0, 1, 2, 2], [1, 0, 2, 2], [1, 3, 2, 2]], num_held_out=1)
    ranked = build_baseline("popularity", histories, 5).rank([np.array([3])], 4)
    assert ranked.items.tolist() == [[1, 0, 2, 4]]
    assert ranked.scores.tolist() == [[3, 2, 0, 0]]


def test_transitions_rank_by_what_followed_the_last_item():
    histories = histories_of([[0, 1, 2], [0, 1], [0, 2], [3, 0, 1], [2, 2]])
    ranked = build_baseline("transitions", histories, 5).rank([np.array([4, 0])], 3)
    scores = ranked.scores[0].tolist()
    assert ranked.items[0, :2].tolist() == [1, 2]
    assert scores[0] == pytest.approx(3 / 4, abs=1e-2) and scores[1] == pytest.approx(
        1 / 4, abs=1e-2
    )


def test_an_item_without_successors_is_answered_by_popularity():
    histories = histories_of([[0, 1], [2, 1], [0, 3]])
    for name in ("transitions", "transition-graph"):
        ranked = build_baseline(name, histories, 5).rank([np.array([4]), np.array([], int)], 3)
        assert ranked.items.tolist() == [[0, 1, 2], [0, 1, 2]]


def brute_force_scores(lists, history, num_items, max_steps, step_decay):
    weight = np.zeros((num_items, num_items))
    for items in lists:
        for i, source in enumerate(items):
            for distance, target in enumerate(items[i + 1 : i + 1 + max_steps], 1):
                weight[source, target] += step_decay ** (distance - 1)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    recent = list(reversed(history))[:max_steps]
    return sum((step_decay**back * weight[item] for back, item in enumerate(recent)), np.zeros(1))


@pytest.mark.parametrize(("max_steps", "step_decay"), [(1, 1.0), (3, 0.5), (10, 0.7)])
def test_the_graph_equals_its_brute_force_twin(generator, max_steps, step_decay):
    lists = [generator.integers(0, 12, generator.integers(1, 15)).tolist() for _ in range(30)]
    graph = TransitionGraph(
        "graph", histories_of(lists), 12, max_steps=max_steps, step_decay=step_decay
    )
    for history in lists[:10]:
        found = graph.score_tiles([np.array(history)])(0, 12)[0].numpy()
        wanted = brute_force_scores(lists, history, 12, max_steps, step_decay)
        smallest = wanted[wanted > 0].min()
        np.testing.assert_allclose(found, wanted, atol=smallest)
        order = np.argsort(-found, kind="stable")
        assert (np.diff(wanted[order]) <= 1e-9).all()


def test_no_transition_joins_two_users_or_reads_held_out_items():
    histories = histories_of([[0, 1, 2, 3], [4, 0, 2, 1]], num_held_out=1)
    graph = TransitionGraph("graph", histories, 5)
    scores = graph.score_tiles([np.array([i]) for i in range(5)])(0, 5).numpy()
    assert {(i, j) for i, j in np.argwhere(scores > 0.5)} == {(0, 1), (4, 0)}


@pytest.mark.parametrize("name", BASELINES)
def test_seen_items_are_left_out_and_lists_end_with_the_catalog(name):
    histories = histories_of([[0, 1, 2, 3], [2, 1, 0]])
    ranked = build_baseline(name, histories, 4).rank([np.array([1, 2]), np.arange(4)], 3)
    assert set(ranked.items[0].tolist()) == {0, 3, -1}
    assert ranked.items[1].tolist() == [-1, -1, -1]
