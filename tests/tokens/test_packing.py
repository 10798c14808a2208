"""Windows and packing against what the histories say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.tokens.packing import PackedHistories, pack_rows
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.tokens.windows import training_windows

IGNORE = -100
TOKENS = ItemTokens(first_item_token=2, num_items=50, pad_token_id=0, unknown_token_id=1)

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


@given(st.lists(st.integers(1, 12), max_size=60))
def test_every_window_is_in_one_row_and_no_row_overflows(lengths):
    rows = pack_rows(np.array(lengths, dtype=int), 12)
    assert sorted(window for row in rows for window in row) == list(range(len(lengths)))
    assert all(sum(lengths[window] for window in row) <= 12 for row in rows)


def packed(lengths, *, row_length=10, batch_size=3, label_weight=None, seed=0):
    items, starts, ends = histories_of(lengths)
    windows = training_windows(starts, ends, row_length, "all")
    weight = np.ones(len(items), np.float32) if label_weight is None else label_weight
    return items, PackedHistories(
        items,
        weight,
        windows,
        TOKENS,
        row_length=row_length,
        batch_size=batch_size,
        ignore_index=IGNORE,
        seed=seed,
    )


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
def test_an_epoch_teaches_every_transition_once(lengths):
    items, histories = packed(lengths)
    batches = [histories.batch(rows) for rows in histories.epoch(0)]
    ends = np.cumsum(lengths)
    expected = [
        (int(items[i]), int(items[i + 1]))
        for start, end in zip(ends - lengths, ends, strict=True)
        for i in range(start, end - 1)
    ]
    assert sorted(pair for batch in batches for pair in transitions_of(batch)) == sorted(expected)
    assert len(batches) == histories.num_batches
    for batch in batches:
        padding = batch.documents == 0
        assert (batch.input_ids[padding] == 0).all()
        assert (batch.labels[padding] == IGNORE).all()
        assert (batch.label_weight[padding] == 0).all()


def test_a_target_of_weight_0_is_read_and_not_learned():
    weight = np.array([1, 0, 2, 0.5], np.float32)
    items, histories = packed([4], label_weight=weight)
    batch = histories.batch(histories.epoch(0)[0])
    assert (batch.input_ids[0, :3] - 2).tolist() == items[:3].tolist()
    assert batch.labels[0, :3].tolist() == [IGNORE, items[2], items[3]]
    assert batch.label_weight[0, :3].tolist() == [0, 2, 0.5]


def test_epochs_differ_and_can_be_made_again():
    _, histories = packed([5, 9, 14, 3, 8, 20, 2, 6], seed=4)
    assert histories.epoch(3) == histories.epoch(3)
    assert histories.epoch(3) != histories.epoch(4)


@pytest.mark.parametrize(("mean", "row_length"), [(9, 50), (165, 200)])
def test_at_least_97_percent_of_positions_are_useful(generator, mean, row_length):
    lengths = 3 + generator.geometric(1 / mean, 3000)
    _, histories = packed(lengths.tolist(), row_length=row_length, batch_size=32)
    documents = [histories.batch(rows).documents for rows in histories.epoch(0)]
    useful = sum((document > 0).sum() for document in documents)
    assert useful / sum(document.size for document in documents) >= 0.97
