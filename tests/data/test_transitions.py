"""Transitions against a count by hand and by loops."""

import numpy as np
import pytest

from seqrec.data.histories import Histories
from seqrec.data.splits import TEST, TRAIN
from seqrec.data.transitions import count_transitions


def histories_of(*lists, num_held_out=0):
    lengths = [len(items) for items in lists]
    splits = [[TRAIN] * (len(items) - num_held_out) + [TEST] * num_held_out for items in lists]
    return Histories(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate(lists).astype(np.int32),
        np.concatenate(splits).astype(np.uint8),
    )


def dense(transitions, num_items):
    table = np.zeros((num_items, num_items))
    source = np.repeat(np.arange(num_items), np.diff(transitions.first_edge))
    table[source, transitions.target] = transitions.weight
    return table


def test_by_hand():
    histories = histories_of([0, 1, 2], [0, 1], [2, 0])
    found = count_transitions([histories], 3, distance_weights=[1, 0.5])
    assert dense(found, 3).tolist() == [[0, 2, 0.5], [0, 0, 1], [1, 0, 0]]
    assert found.leaving.tolist() == [2.5, 1, 1]


@pytest.mark.parametrize("num_parts", [1, 3])
def test_equal_a_loop_over_pairs_whatever_the_parts(generator, monkeypatch, num_parts):
    monkeypatch.setattr("seqrec.data.transitions.MERGED_EDGES", 7)
    lists = [generator.integers(0, 9, length) for length in generator.integers(2, 12, 30)]
    expected = np.zeros((9, 9))
    for items in lists:
        items = items[:-1]
        for end in range(len(items)):
            for start in range(max(end - 3, 0), end):
                expected[items[start], items[end]] += 0.7 ** (end - start - 1)
    parts = [histories_of(*lists[part::num_parts], num_held_out=1) for part in range(num_parts)]
    found = count_transitions(parts, 9, distance_weights=[1, 0.7, 0.49])
    np.testing.assert_allclose(dense(found, 9), expected, rtol=1e-6)
    np.testing.assert_allclose(found.leaving, expected.sum(axis=1))
    assert all((np.diff(row) > 0).all() for row in np.split(found.target, found.first_edge[1:-1]))


def test_only_the_heaviest_edges_are_kept_and_all_are_counted():
    histories = histories_of([0, 1], [0, 2], [0, 2], [0, 3], [1, 0])
    found = count_transitions([histories], 4, distance_weights=[1], max_edges=2)
    assert dense(found, 4).tolist() == [[0, 1, 2, 0], [1, 0, 0, 0], [0] * 4, [0] * 4]
    assert found.leaving.tolist() == [4, 1, 0, 0]
