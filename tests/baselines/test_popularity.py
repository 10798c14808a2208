"""Popularity, ever and of late, against counts by hand."""

import numpy as np
import pytest

from seqrec.baselines import build_baseline
from seqrec.baselines.popularity import recent_interactions
from seqrec.data.histories import MISSING_TIME
from tests.baselines.conftest import histories_of


def test_popularity_counts_the_training_part_only():
    histories = histories_of([[0, 1, 2, 2], [1, 0, 2, 2], [1, 3, 2, 2]], num_held_out=1)
    ranked = build_baseline("popularity", histories, 5).rank([np.array([3])], 4)
    assert ranked.items.tolist() == [[1, 0, 2, 4]]
    assert ranked.scores.tolist() == [[3, 2, 0, 0]]


TIMES = [[1, 2, 9, 10, 11], [3, 4, 9, 12, 13]]
"""Of which the last two of each are held out."""


@pytest.mark.parametrize(
    ("share", "recent"),
    [(0.1, [9, 9]), (0.5, [4, 9, 9]), (1.0, [1, 2, 3, 4, 9, 9])],
)
def test_the_latest_share_counts_and_equal_times_are_never_parted(share, recent):
    histories = histories_of([[0, 1, 2, 3, 4], [1, 0, 3, 4, 0]], num_held_out=1, times=TIMES)
    is_recent = recent_interactions(histories, share)
    assert sorted(histories.columns["time"][is_recent].tolist()) == recent


def test_recent_popularity_breaks_ties_by_popularity():
    histories = histories_of([[0, 1, 2, 3, 4], [1, 0, 3, 4, 0]], num_held_out=1, times=TIMES)
    ranked = build_baseline("recent-popularity", histories, 5, {"recent_share": 0.1})
    ranked = ranked.rank([np.array([], int)], 5)
    assert ranked.items.tolist() == [[2, 3, 0, 1, 4]]
    assert ranked.scores[0].int().tolist() == [1, 1, 0, 0, 0]


def test_excluded_untimed_interactions_are_noted():
    times = [[1, 2, 9, 10, 11], [MISSING_TIME, MISSING_TIME, 9, MISSING_TIME, 13]]
    for of, told in ((TIMES, []), (times, ["2 of 6"]), ([[MISSING_TIME] * 5] * 2, [])):
        histories = histories_of([[0, 1, 2, 3, 4], [1, 0, 3, 4, 0]], num_held_out=1, times=of)
        notes = build_baseline("recent-popularity", histories, 5).notes
        assert [note.split(": ")[1][:6] for note in notes] == told


def test_without_times_each_users_own_latest_count():
    lists, held_out = [[0, 1, 2, 3, 4, 5], [0], [5, 4, 3]], 1
    missing = [[MISSING_TIME] * len(items) for items in lists]
    for times in (None, missing):
        histories = histories_of(lists, held_out, times)
        assert histories.items[recent_interactions(histories, 0.5)].tolist() == [2, 3, 5]
        assert histories.items[recent_interactions(histories, 0.01)].tolist() == [3, 5]
