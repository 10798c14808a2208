"""Queries by hand, and judging by hand."""

import numpy as np
import pytest
import torch

from seqrec.data.histories import Histories
from seqrec.data.splits import TEST, TRAIN, VALIDATION
from seqrec.evaluation.protocol import build_queries, evaluate_lists

T, V, X = TRAIN, VALIDATION, TEST
HISTORIES = Histories(
    offsets=np.array([0, 5, 6, 9, 12]),
    items=np.array([10, 11, 12, 13, 14, 20, 30, 31, 32, 40, 40, 41], np.int32),
    split=np.array([T, T, V, X, X, T, X, X, X, T, X, X], np.uint8),
    columns={},
)


def as_lists(queries):
    return [
        (int(user), history.tolist(), targets.tolist())
        for user, history, targets in zip(
            queries.users, queries.histories, queries.targets, strict=True
        )
    ]


def test_targets_held_out_together_are_asked_once():
    queries = build_queries(HISTORIES, "test", "together")
    assert as_lists(queries) == [(0, [10, 11, 12], [13, 14]), (3, [40], [40, 41])]
    assert queries.num_without_history == 1
    assert queries.num_seen_targets == 1


def test_the_last_target_is_asked_from_everything_before_it():
    queries = build_queries(HISTORIES, "test", "last")
    assert as_lists(queries) == [
        (0, [10, 11, 12, 13], [14]),
        (2, [30, 31], [32]),
        (3, [40, 40], [41]),
    ]


def test_successive_targets_are_each_asked_from_everything_before():
    queries = build_queries(HISTORIES, "test", "successive")
    assert as_lists(queries) == [
        (0, [10, 11, 12], [13]),
        (0, [10, 11, 12, 13], [14]),
        (2, [30], [31]),
        (2, [30, 31], [32]),
        (3, [40], [40]),
        (3, [40, 40], [41]),
    ]
    assert queries.num_without_history == 1


@pytest.mark.parametrize("targets", ["together", "last", "successive"])
def test_validation_asks_before_the_validation_target(targets):
    assert as_lists(build_queries(HISTORIES, "validation", targets)) == [(0, [10, 11], [12])]


def test_nobody_to_ask_is_an_empty_set_of_queries():
    nobody = Histories(np.array([0, 2]), np.array([1, 2], np.int32), np.zeros(2, np.uint8), {})
    queries = build_queries(nobody, "test", "together")
    assert as_lists(queries) == [] and queries.num_seen_targets == 0


def test_lists_are_judged_by_hand():
    queries = build_queries(HISTORIES, "test", "together")
    judgement = evaluate_lists(torch.tensor([[9, 14, 13], [41, 2, -1]]), queries, [1, 3], 50)
    log2 = np.log2
    first = (1 / log2(3) + 1 / log2(4)) / (1 + 1 / log2(3))
    second = 1 / (1 + 1 / log2(3))
    assert judgement.metrics == pytest.approx(
        {
            "recall@1": (0 + 1 / 2) / 2,
            "hit_rate@1": 1 / 2,
            "ndcg@1": 1 / 2,
            "mrr@1": 1 / 2,
            "coverage@1": 2 / 50,
            "recall@3": (1 + 1 / 2) / 2,
            "hit_rate@3": 1,
            "ndcg@3": (first + second) / 2,
            "mrr@3": (1 / 2 + 1) / 2,
            "coverage@3": 5 / 50,
        },
        abs=1e-6,
    )
    np.testing.assert_allclose(judgement.per_query["ndcg@3"], [first, second], rtol=1e-6)
