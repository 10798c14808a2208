"""Streams of packed batches: every transition once, in any split of the work, from any place."""

from functools import partial

import numpy as np
import polars as pl
import pytest

from seqrec.data.histories import Blocks, write_blocks
from seqrec.errors import SeqRecError
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.streams.base import StreamPosition
from seqrec.tokens.streams.log import PackedStream
from seqrec.tokens.streams.windows import training_windows
from seqrec.tokens.tokenizer import ItemTokens

NUM_ITEMS = 50
IGNORE = -100
TOKENS = ItemTokens(OneTokenItems(2, NUM_ITEMS), pad_token_id=0, unknown_token_id=1)


@pytest.fixture
def log(generator):
    """300 users of 2 to 40 interactions, the last of each held out; the items tell the user."""
    lengths = generator.integers(2, 40, 300)
    users = np.repeat(np.arange(300), lengths)
    is_last = np.append(users[1:] != users[:-1], True)
    return pl.DataFrame(
        {
            "user": users.astype(np.uint32),
            "item": generator.integers(0, NUM_ITEMS, len(users)).astype(np.uint32),
            "split": is_last.astype(np.uint8),
            "joy": generator.integers(0, 3, len(users)),
        }
    )


@pytest.fixture
def blocks(log, tmp_path, monkeypatch):
    monkeypatch.setattr("seqrec.data.histories.BLOCK_ROWS", 500)
    write_blocks(log, tmp_path / "log.parquet")
    return partial(Blocks, tmp_path / "log.parquet")


def stream_of(blocks, **more):
    options = {"weight": None, "batch_size": 6, "pool_rows": 2000, "seed": 3, "row_length": 20}
    options |= more
    return PackedStream(
        blocks,
        TOKENS,
        partial(training_windows, max_length=20, which="all"),
        ignore_index=IGNORE,
        **options,
    )


def epoch_of(stream, epoch=0):
    return [batch for _, batch in stream.batches(StreamPosition(epoch))]


def transitions_of(batches):
    """All (input item, next item) pairs that are learned, in order."""
    pairs = []
    for batch in batches:
        learned = batch.labels != IGNORE
        inputs = (batch.input_ids[learned] - 2).tolist()
        pairs += zip(inputs, batch.labels[learned].tolist(), strict=True)
    return sorted(pairs)


def expected_transitions(log):
    training = log.filter(pl.col("split") == 0)
    same = (training["user"] == training["user"].shift(-1)).fill_null(False).to_numpy()
    items = training["item"].to_numpy()
    inputs, targets = items[:-1][same[:-1]].tolist(), items[1:][same[:-1]].tolist()
    return sorted(zip(inputs, targets, strict=True))


def test_blocks_hold_whole_users_and_all_rows(blocks, log):
    found = blocks()
    assert len(found) > 5 and found.num_rows.sum() == len(log)
    parts = [found.read([block]) for block in range(len(found))]
    assert np.concatenate([part.items for part in parts]).tolist() == log["item"].to_list()
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    assert lengths.tolist() == np.bincount(log["user"].to_numpy()).tolist()


@pytest.mark.parametrize("pool_rows", [1, 2000, 10**9])
def test_an_epoch_teaches_every_transition_once_whatever_the_pool(blocks, log, pool_rows):
    stream = stream_of(blocks(), pool_rows=pool_rows)
    for epoch in (0, 1):
        batches = epoch_of(stream, epoch)
        assert len(batches) == stream.num_batches
        assert transitions_of(batches) == expected_transitions(log)


def test_epochs_differ_and_can_be_made_again(blocks):
    stream = stream_of(blocks())
    first, again, second = (
        [batch.input_ids.tolist() for batch in epoch_of(stream, epoch)] for epoch in (0, 0, 1)
    )
    assert first == again and first != second


def test_from_any_place_the_rest_of_the_epoch_follows(blocks):
    stream = stream_of(blocks(), pool_rows=1)
    epoch = list(stream.batches(StreamPosition(1)))
    assert len({place.pool for place, _ in epoch}) > 3
    for number in (0, 1, 7, len(epoch) - 2):
        rest = [batch for _, batch in stream.batches(epoch[number][0])]
        wanted = [batch for _, batch in epoch[number + 1 :]]
        assert [b.labels.tolist() for b in rest] == [b.labels.tolist() for b in wanted]
    assert epoch[-1][0] == StreamPosition(2)


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_ranks_share_every_batch_without_overlap(blocks, num_ranks):
    whole = epoch_of(stream_of(blocks(["joy"]), weight="joy"))
    parts = [
        epoch_of(stream_of(blocks(["joy"]), weight="joy", rank=rank, num_ranks=num_ranks))
        for rank in range(num_ranks)
    ]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert transitions_of(shares) == transitions_of([batch])
        for share in shares:
            assert share.total_weight * num_ranks == pytest.approx(batch.total_weight)


@pytest.mark.parametrize("make", [lambda s: epoch_of(s), lambda s: list(s.in_order())])
def test_rows_are_no_longer_than_windows_need(blocks, make):
    """Attention is quadratic in the row: a generous limit must not cost more than the histories."""
    fitting, generous = (stream_of(blocks(), row_length=length) for length in (512, 100_000))
    assert generous.row_length == 512
    for one, other in zip(make(fitting), make(generous), strict=True):
        assert one.input_ids.shape[1] == 512
        np.testing.assert_array_equal(one.input_ids, other.input_ids)
        np.testing.assert_array_equal(one.labels, other.labels)
    assert stream_of(blocks(), row_length=300).row_length == 300


def test_training_interactions_are_counted(blocks, log):
    training = log.filter(pl.col("split") == 0)["item"].to_numpy()
    counts = stream_of(blocks()).item_counts
    assert counts.tolist() == np.bincount(training, minlength=NUM_ITEMS).tolist()


@pytest.mark.parametrize(("mean", "row_length"), [(9, 50), (165, 200)])
def test_at_least_97_percent_of_positions_are_useful(generator, tmp_path, mean, row_length):
    lengths = 3 + generator.geometric(1 / mean, 3000)
    users = np.repeat(np.arange(3000), lengths)
    table = pl.DataFrame({"user": users, "item": users % NUM_ITEMS, "split": np.zeros_like(users)})
    write_blocks(table, tmp_path / "log.parquet")
    stream = PackedStream(
        Blocks(tmp_path / "log.parquet"),
        TOKENS,
        partial(training_windows, max_length=row_length, which="all"),
        weight=None,
        row_length=row_length,
        batch_size=32,
        pool_rows=10**9,
        ignore_index=IGNORE,
        seed=0,
    )
    documents = [batch.documents for batch in epoch_of(stream)]
    useful = sum((document > 0).sum() for document in documents)
    assert useful / sum(document.size for document in documents) >= 0.97


def test_a_log_without_two_training_rows_of_one_user_is_refused(tmp_path):
    table = pl.DataFrame({"user": [0, 0, 1], "item": [1, 2, 3], "split": [0, 1, 0]})
    write_blocks(table, tmp_path / "log.parquet")
    with pytest.raises(SeqRecError, match="nothing to train on"):
        stream_of(Blocks(tmp_path / "log.parquet"))
