"""Splits, against a twin that goes user by user."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.data.preparation.counts import split_counts
from seqrec.data.splits import TEST, TRAIN, VALIDATION, cut_times, parse_split, split_at, split_last
from seqrec.errors import SeqRecError


def naive_last(length: int, held_out: int) -> list[int]:
    if length <= held_out:
        return [TRAIN] * length
    split = [TRAIN] * (length - held_out) + [TEST] * held_out
    if length >= held_out + 2:
        split[length - held_out - 1] = VALIDATION
    return split


@given(st.lists(st.integers(1, 7), max_size=12), st.integers(1, 4))
def test_last_n_is_that_of_going_user_by_user(lengths, held_out):
    users = np.repeat(np.arange(len(lengths)), lengths)
    expected = [part for length in lengths for part in naive_last(length, held_out)]
    assert split_last(users, held_out).tolist() == expected


def test_leave_one_out_by_hand():
    users = np.array([0, 0, 0, 1, 1, 2])
    expected = [TRAIN, VALIDATION, TEST, TRAIN, TEST, TRAIN]
    assert split_last(users, parse_split("leave-one-out").num_held_out).tolist() == expected


def test_global_time_cuts_a_hundred_seconds_at_85_and_90():
    times = np.random.default_rng(0).permutation(100)
    split = split_at(times, cut_times(times, 0.9))
    assert (split[times < 85] == TRAIN).all()
    assert (split[(times >= 85) & (times < 90)] == VALIDATION).all()
    assert (split[times >= 90] == TEST).all()


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.floats(0.06, 0.99))
def test_equal_times_are_never_parted_and_no_part_starts_before_another_ends(times, quantile):
    times = np.array(times)
    split = split_at(times, cut_times(times, quantile))
    for time in np.unique(times):
        assert len(np.unique(split[times == time])) == 1
    assert (np.diff(split[np.argsort(times, kind="stable")].astype(int)) >= 0).all()
    assert (split == TEST).mean() >= 1 - quantile - 1e-9


@pytest.mark.parametrize(
    "text",
    ["last-n", "last-n:0", "last-n:x", "last-n:-1", "last-n:1.5", "global-time:1", "random",
     "global-time:", "global-time:x", "global-time:0.05", "none:1", "leave-one-out:2", ""],
)  # fmt: skip
def test_other_options_are_refused_with_their_text(text):
    with pytest.raises(SeqRecError, match=f"--split-by {text}"):
        parse_split(text)


def test_options_are_read():
    assert parse_split("last-n:10").num_held_out == 10
    assert parse_split("global-time").quantile == 0.9
    assert parse_split("global-time:0.8", "successive").quantile == 0.8
    assert parse_split("none").kind == "none"
    with pytest.raises(SeqRecError, match="--targets all: choose one of last, successive"):
        parse_split("global-time", "all")


def test_counts_by_hand():
    users = np.array([0, 0, 0, 1, 1, 2])
    items = np.array([5, 6, 7, 5, 8, 9])
    times = np.array([1, 2, 3, 9, 10, 4.0])
    by = parse_split("leave-one-out")
    counts = split_counts(users, items, split_last(users, 1), by, times)
    assert counts == {
        "train": 3,
        "validation": 1,
        "test": 2,
        "users_evaluated": 2,
        "users_not_evaluated": 1,
        "cold_users": 0,
        "cold_items": 2,
        "leaked_interactions": 2,
    }
    times[3] = np.nan
    some = split_counts(users, items, split_last(users, 1), by, times)
    assert some == counts | {"leaked_interactions": 1, "untimed_interactions": 1}
    none = split_counts(users, items, split_last(users, 1), by, np.full(6, np.nan))
    assert "leaked_interactions" not in none and "untimed_interactions" not in none


def test_users_without_history_before_the_targets_are_not_evaluated():
    """A user without interactions before the targets, all of whose rows are tested."""
    users, items = np.array([0, 0, 1, 1]), np.array([1, 2, 3, 4])
    split = np.array([TEST, TEST, TRAIN, TEST], dtype=np.uint8)
    counts = split_counts(users, items, split, parse_split("last-n:2"), np.arange(4.0))
    assert counts["users_evaluated"] == 1 and counts["users_not_evaluated"] == 1


def test_a_cut_behind_everything_is_the_last_time():
    assert cut_times(np.arange(5), 0.99999999) == (5 - 1, 5 - 1)


@pytest.mark.parametrize(("targets", "cold"), [("last", 1), ("successive", 2)])
def test_cold_items_are_those_among_the_targets(targets, cold):
    users, items = np.array([0, 0, 0]), np.array([1, 2, 3])
    split = np.array([TRAIN, TEST, TEST], dtype=np.uint8)
    by = parse_split("global-time", targets)
    assert split_counts(users, items, split, by, np.arange(3.0))["cold_items"] == cold
