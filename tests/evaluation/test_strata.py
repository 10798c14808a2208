"""Strata by hand."""

from dataclasses import replace

import numpy as np

from seqrec.evaluation.protocol import Queries
from seqrec.evaluation.strata import (
    popularity_strata,
    shuffle_histories,
    stratify_by_length,
    stratify_by_popularity,
)
from seqrec.tokens.events.features import NO, YES
from seqrec.tokens.events.histories import EventHistories


def queries(histories, targets):
    users = np.arange(len(histories))
    return Queries(users, [np.array(h) for h in histories], [np.array(t) for t in targets], 0)


def test_each_third_of_the_interactions_is_a_stratum():
    assert popularity_strata(np.array([1, 4, 0, 1, 3, 3])).tolist() == [2, 0, 3, 2, 1, 1]
    assert popularity_strata(np.array([5, 0])).tolist() == [0, 3]


def test_targets_are_parted_by_popularity():
    asked = queries([[0], [1], [4]], [[1, 0], [2], [4]])
    found = stratify_by_popularity(asked, np.array([1, 4, 0, 1, 3, 3]))
    assert [(name, places.tolist()) for name, places, _ in found] == [
        ("head", [0]),
        ("middle", [2]),
        ("tail", [0]),
        ("cold", [1]),
    ]
    assert [[t.tolist() for t in part.targets] for *_, part in found] == [
        [[1]],
        [[4]],
        [[0]],
        [[2]],
    ]


def test_histories_are_parted_by_length():
    found = stratify_by_length(queries([[0] * n for n in (1, 9, 10, 100, 250)], [[1]] * 5))
    assert [(name, places.tolist()) for name, places, _ in found] == [
        ("1-9", [0, 1]),
        ("10-19", [2]),
        ("100+", [3, 4]),
    ]


def test_shuffling_keeps_what_was_watched_and_what_is_asked():
    asked = queries([list(range(30)), [5]], [[40], [41]])
    mixed = shuffle_histories(asked, 0)
    assert sorted(mixed.histories[0].tolist()) == list(range(30))
    assert mixed.histories[0].tolist() != list(range(30))
    assert mixed.targets is asked.targets
    assert np.array_equal(mixed.histories[0], shuffle_histories(asked, 0).histories[0])


def test_shuffling_takes_no_session_apart():
    """Events are numbered in order; those of one session follow each other wherever it goes."""
    goes_on = np.array([False, False, True, True, False, False, True, False])
    codes = np.where(goes_on, YES, NO)[:, None]
    histories = EventHistories([np.arange(8)] * 50, [codes] * 50, np.zeros((50, 1), np.int32))
    asked = replace(queries([[0]] * 50, [[9]] * 50), histories=histories)
    mixed = shuffle_histories(asked, 0, session=0).histories
    orders = {tuple(items.tolist()) for items in mixed.items}
    assert len(orders) > 30
    for items, told in zip(mixed.items, mixed.codes, strict=True):
        assert sorted(items) == list(range(8)) and (told == codes[items]).all()
        assert all(items[n - 1] == items[n] - 1 for n in np.flatnonzero(goes_on[items]))
