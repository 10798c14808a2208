"""Windows and packing against what the histories say."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.streams.base import shuffle_batches
from seqrec.tokens.streams.examples import Examples
from seqrec.tokens.streams.packing import pack_batch
from seqrec.tokens.streams.placement import pack_rows
from seqrec.tokens.streams.windows import training_windows
from seqrec.tokens.tokenizer import ItemTokens

IGNORE = -100
TOKENS = ItemTokens(OneTokenItems(2, 50), pad_token_id=0, unknown_token_id=1)

ENDS = np.array([0]), np.array([3])

lengths_of_histories = st.lists(st.integers(0, 30), min_size=1, max_size=20)


def histories_of(lengths, seed=0):
    items = np.random.default_rng(seed).integers(0, 50, sum(lengths))
    ends = np.cumsum(lengths)
    return items, ends - np.array(lengths), ends


@given(lengths_of_histories, st.integers(1, 9))
def test_all_windows_hold_every_transition_once(lengths, max_length):
    _, starts, ends = histories_of(lengths)
    windows = training_windows(starts, ends, max_length, "all")
    covered = np.concatenate(
        [np.arange(s, s + n) for s, n in zip(windows.starts, windows.lengths, strict=True)]
        or [np.empty(0)]
    )
    transitions = [i for s, e in zip(starts, ends, strict=True) for i in range(s, e - 1)]
    assert sorted(covered.tolist()) == transitions
    assert all((windows.lengths > 0) & (windows.lengths <= max_length))


@given(lengths_of_histories, st.integers(1, 9))
def test_last_windows_hold_the_last_inputs_of_each_history(lengths, max_length):
    _, starts, ends = histories_of(lengths)
    windows = training_windows(starts, ends, max_length, "last")
    expected = [
        (max(s, e - 1 - max_length), e - 1) for s, e in zip(starts, ends, strict=True) if e - s > 1
    ]
    found = zip(windows.starts, windows.starts + windows.lengths, strict=True)
    assert [(int(s), int(e)) for s, e in found] == expected


@given(lengths_of_histories, st.integers(1, 9))
def test_prefixes_give_every_target_a_window_that_ends_before_it(lengths, max_length):
    _, starts, ends = histories_of(lengths)
    windows = training_windows(starts, ends, max_length, "prefixes")
    found = sorted((int(s), int(s + n), int(c)) for s, n, c in zip(*windows, strict=True))
    wanted = []
    for s, e in zip(starts, ends, strict=True):
        for target in range(s + 1, e):
            start = max(s, target - max_length)
            wanted.append((start, target, target - start - 1))
    assert found == sorted(wanted)


@given(st.lists(st.integers(1, 12), max_size=60))
def test_every_window_is_in_one_row_and_no_row_overflows(lengths):
    rows = pack_rows(np.array(lengths, dtype=int), 12)
    assert sorted(window for row in rows for window in row) == list(range(len(lengths)))
    assert all(sum(lengths[window] for window in row) <= 12 for row in rows)


def packed(lengths, *, row_length=10, label_weight=None, stride=None):
    """Histories of these lengths, and the arrays of all their windows, best fit."""
    items, starts, ends = histories_of(lengths)
    windows = training_windows(starts, ends, row_length, "all", stride)
    weight = np.ones(len(items), np.float32) if label_weight is None else label_weight
    examples = Examples(items, weight, windows)
    rows = pack_rows(windows.lengths, row_length)
    batch = pack_batch(examples, rows, TOKENS, row_length=row_length, ignore_index=IGNORE)
    return items, batch


def transitions_of(batch):
    """What each batch teaches, by its own documents: (input item, next item) pairs."""
    pairs = []
    for tokens, documents, labels in zip(
        batch.input_ids, batch.documents, batch.labels, strict=True
    ):
        for column in np.flatnonzero(documents):
            pairs.append((int(tokens[column]) - 2, int(labels[column])))
            if column + 1 < len(documents) and documents[column + 1] == documents[column]:
                assert tokens[column + 1] - 2 == labels[column]
    return pairs


@given(st.lists(st.integers(2, 40), min_size=1, max_size=15))
def test_packed_rows_teach_every_transition_once(lengths):
    items, batch = packed(lengths)
    ends = np.cumsum(lengths)
    expected = [
        (int(items[i]), int(items[i + 1]))
        for start, end in zip(ends - lengths, ends, strict=True)
        for i in range(start, end - 1)
    ]
    assert sorted(transitions_of(batch)) == sorted(expected)
    padding = batch.documents == 0
    assert (batch.input_ids[padding] == 0).all()
    assert (batch.labels[padding] == IGNORE).all()
    assert (batch.label_weight[padding] == 0).all()
    assert batch.total_weight == len(expected)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=8), st.integers(1, 10))
def test_sliding_windows_teach_every_target_once_and_show_more_before_it(lengths, stride):
    items, starts, ends = histories_of(lengths)
    windows = training_windows(starts, ends, 10, "all", stride)
    taught = []
    for start, length, num_context in zip(*windows, strict=True):
        taught += range(start + num_context, start + length)
        assert num_context in (0, 10 - stride) and 0 < length <= 10
        assert num_context == 0 or length == 10
    wanted = [i for s, e in zip(starts, ends, strict=True) for i in range(s, e - 1)]
    assert sorted(taught) == wanted
    _, batch = packed(lengths, stride=stride)
    assert (batch.labels != IGNORE).sum() == len(wanted)


def test_a_target_of_weight_0_is_read_and_not_learned():
    weight = np.array([1, 0, 2, 0.5], np.float32)
    items, batch = packed([4], label_weight=weight)
    assert (batch.input_ids[0, :3] - 2).tolist() == items[:3].tolist()
    assert batch.labels[0, :3].tolist() == [IGNORE, items[2], items[3]]
    assert batch.label_weight[0, :3].tolist() == [0, 2, 0.5]
    assert batch.total_weight == 2.5


def test_a_batch_without_rows_is_one_row_of_padding():
    examples = Examples(np.arange(3), np.ones(3, np.float32), training_windows(*ENDS, 10, "all"))
    batch = pack_batch(examples, [], TOKENS, row_length=10, ignore_index=IGNORE)
    assert batch.documents.shape == (1, 10) and not batch.documents.any()
    assert (batch.labels == IGNORE).all() and batch.total_weight == 0


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30), st.integers(1, 4), st.integers(0, 99))
def test_every_shuffled_batch_has_windows_and_every_window_has_one_batch(lengths, size, seed):
    """Batches are counted in another order, which may fill more rows."""
    lengths = np.array(lengths)
    num_batches = -(-len(pack_rows(lengths, 12)) // size)
    batches = shuffle_batches(lengths, 12, num_batches, np.random.default_rng(seed))
    assert len(batches) == num_batches
    rows = [row for batch in batches for row in batch]
    assert all(batches) and all(rows)
    assert sorted(window for row in rows for window in row) == list(range(len(lengths)))
    assert all(lengths[row].sum() <= 12 for row in rows)


def test_another_order_may_fill_fewer_rows():
    lengths = np.array([3, 3, 5, 5, 7, 7, 3, 3])
    counts = {
        len(pack_rows(lengths[np.random.default_rng(seed).permutation(8)], 12)) for seed in range(9)
    }
    assert len(counts) > 1
    for seed in range(9):
        batches = shuffle_batches(lengths, 12, max(counts), np.random.default_rng(seed))
        assert all(batches)
