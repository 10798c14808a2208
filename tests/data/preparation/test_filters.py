"""The k-core and repeats, against naive twins."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seqrec.data.preparation.filters import is_repeat, k_core

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.booleans()), max_size=40)


def naive_core(rows, min_user, min_item):
    while True:
        counted = [row for row in rows if row[2]]
        kept = [
            row
            for row in rows
            if sum(row[0] == other[0] for other in counted) >= min_user
            and sum(row[1] == other[1] for other in counted) >= min_item
        ]
        if len(kept) == len(rows):
            return kept
        rows = kept


@given(PAIRS, st.integers(1, 4), st.integers(1, 4))
def test_the_core_is_that_of_dropping_one_round_after_the_other(rows, min_user, min_item):
    users = np.array([row[0] for row in rows], dtype=np.int64)
    items = np.array([row[1] for row in rows], dtype=np.int64)
    counted = np.array([row[2] for row in rows], dtype=bool)
    kept = k_core(users, items, min_user, min_item, counted)
    found = [row for row, is_kept in zip(rows, kept, strict=True) if is_kept]
    assert found == naive_core(rows, min_user, min_item)


def test_a_core_of_all_rows_counts_all():
    users, items = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 0])
    assert k_core(users, items, 2, 2).tolist() == [True, True, True, True, False]


def test_only_neighbours_of_one_user_are_repeats():
    users = np.array([0, 0, 0, 0, 1])
    items = np.array([5, 5, 6, 5, 5])
    assert is_repeat(users, items).tolist() == [False, True, False, False, False]
