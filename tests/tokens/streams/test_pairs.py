"""Packed pairs against the pairs themselves: each is asked once, after its own history."""

import numpy as np
import pytest

from seqrec.data.feedback.pairs import Pairs
from seqrec.data.feedback.ragged import Ragged
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.streams.base import StreamPosition
from seqrec.tokens.streams.pair_windows import PairWindows
from seqrec.tokens.streams.pairs import PairStream
from seqrec.tokens.tokenizer import ItemTokens

TOKENS = ItemTokens(OneTokenItems(2, 50), pad_token_id=0, unknown_token_id=1)


def made(num_users=12, per_user=5, longest=30, length=2, num_rejected=3, seed=0):
    """Pairs at several places of users' histories, some of them without a user."""
    generator = np.random.default_rng(seed)
    user_ids, histories, chosen, rejected = [], [], [], []
    for user in range(num_users):
        whole = generator.integers(0, 50, generator.integers(3, longest))
        for _ in range(per_user):
            user_ids.append(f"u{user}" if user % 4 else None)
            histories.append(whole[: generator.integers(1, len(whole) + 1)])
            titles = generator.permutation(50)[: length * (num_rejected + 1)]
            answers = titles.reshape(num_rejected + 1, length)
            answers[:, 1:][generator.random((num_rejected + 1, length - 1)) < 0.5] = -1
            answers[1:][generator.random(num_rejected) < 0.3] = -1
            chosen.append(answers[0])
            rejected.append(answers[1:])
    lengths = np.array([len(history) for history in histories])
    count = len(user_ids)
    return Pairs(
        num_items=50,
        user_ids=user_ids,
        sources=[None] * count,
        histories=Ragged(np.concatenate(histories), lengths),
        chosen=np.stack(chosen),
        rejected=np.stack(rejected),
        is_next=np.arange(count) % 3 == 0,
        weight=generator.random(count) + 0.1,
        fingerprint="",
        counts={},
    )


def stream_of(pairs, rows=None, **more):
    rows = np.arange(len(pairs)) if rows is None else rows
    settings = {"row_length": 10, "batch_size": 3, "ignore_index": -100, "seed": 4} | more
    return PairStream(pairs, rows, TOKENS, **settings)


def asked_of(batch):
    """By pair: the items read up to its place, its answers, its weight."""
    found = {}
    flat = batch.candidates.ravel()
    for place, pair in enumerate(batch.pairs.tolist()):
        at = np.concatenate(
            [batch.chosen_at[place], batch.rejected_at[place].ravel(), batch.unrelated_at[place]]
        )
        rows = {int(i) // batch.candidates.shape[1] for i in at[at >= 0]}
        spots = {(int(batch.rows[row]), int(batch.columns[row])) for row in rows}
        assert len(spots) == 1
        ((row, column),) = spots
        document = batch.documents[row, column]
        is_read = (batch.documents[row] == document) & (np.arange(10) <= column)
        read = batch.input_ids[row][is_read] - TOKENS.blocks.first_token
        answers = [np.where(a >= 0, flat[a], -1) for a in (batch.chosen_at, batch.rejected_at)]
        assert pair not in found
        found[pair] = (read, answers[0][place], answers[1][place], batch.pair_weight[place])
    return found


def check(found, pairs, rows):
    assert sorted(found) == sorted(rows)
    starts = pairs.histories.starts
    for pair, (read, chosen, rejected, weight) in found.items():
        history = pairs.histories.get(pair, starts[pair])
        np.testing.assert_array_equal(read, history[len(history) - len(read) :])
        assert 2 * len(read) >= min(len(history), 10)
        np.testing.assert_array_equal(chosen, pairs.chosen[pair])
        np.testing.assert_array_equal(rejected, pairs.rejected[pair])
        assert weight == pytest.approx(pairs.weight[pair])


@pytest.mark.parametrize("max_asked", [64, 3])
def test_every_pair_is_asked_once_after_its_own_history(monkeypatch, max_asked):
    monkeypatch.setattr("seqrec.tokens.streams.pairs.MAX_CANDIDATES", max_asked)
    pairs = made()
    rows = np.flatnonzero(np.arange(len(pairs)) % 5 != 2)
    stream = stream_of(pairs, rows)
    orders = []
    for batches in (
        [batch for _, batch in stream.batches(StreamPosition())],
        [batch for _, batch in stream.batches(StreamPosition(1))],
        list(stream.in_order()),
    ):
        found = {}
        for batch in batches:
            assert batch.candidates.shape[1] <= max_asked
            found |= asked_of(batch)
        check(found, pairs, rows)
        orders.append(list(found))
    assert orders[0] != orders[1]


def test_histories_that_others_begin_with_are_read_once():
    pairs = made(num_users=8, per_user=6, longest=10)
    layout = PairWindows.of(pairs, np.arange(len(pairs)), 10)
    starts = pairs.histories.starts
    by_user = {user_id: [] for user_id in pairs.user_ids if user_id is not None}
    alone = set()
    for row, user_id in enumerate(pairs.user_ids):
        if user_id is None:
            alone.add(pairs.histories.get(row, starts[row]).tobytes())
    assert len(layout.windows.starts) == len(by_user) + len(alone)


def test_long_histories_keep_at_least_half_of_what_can_be_read():
    pairs = made(num_users=6, per_user=20, longest=60)
    layout = PairWindows.of(pairs, np.arange(len(pairs)), 10)
    lengths = pairs.histories.lengths
    assert (2 * (layout.pair_column + 1) >= np.minimum(lengths, 10)).all()
    assert (layout.windows.lengths <= 10).all()
    assert len(layout.windows.starts) < len(pairs)


def test_labels_are_the_next_titles_of_the_histories_shown():
    pairs = made()
    for batch in stream_of(pairs).in_order():
        is_last = batch.documents > 0
        is_last[:, :-1] &= batch.documents[:, 1:] != batch.documents[:, :-1]
        is_inside = (batch.documents > 0) & ~is_last
        following = np.roll(batch.input_ids, -1, axis=1) - TOKENS.blocks.first_token
        np.testing.assert_array_equal(batch.labels, np.where(is_inside, following, -100))
        assert batch.total_weight == is_inside.sum()
    assert all((b.labels == -100).all() for b in stream_of(pairs, has_labels=False).in_order())


def test_what_followed_is_told_where_it_is_known():
    pairs = made(length=1)
    for batch in stream_of(pairs).in_order():
        flat = {}
        for place, pair in enumerate(batch.pairs.tolist()):
            row = int(batch.chosen_at[place, 0]) // batch.candidates.shape[1]
            if pairs.is_next[pair]:
                flat.setdefault(row, set()).add(int(pairs.chosen[pair, 0]))
        for row, following in enumerate(batch.next_items.tolist()):
            assert following in flat.get(row, {following, -1})
            assert (following >= 0) or row not in flat


def test_parts_of_several_processes_are_the_whole():
    pairs = made()
    whole = [batch for _, batch in stream_of(pairs).batches(StreamPosition())]
    parts = [
        [batch for _, batch in stream_of(pairs, rank=r, num_ranks=3).batches(StreamPosition())]
        for r in range(3)
    ]
    for batch, *of_ranks in zip(whole, *parts, strict=True):
        numbers = np.concatenate([part.pairs for part in of_ranks])
        assert sorted(numbers) == sorted(batch.pairs)
        for part in of_ranks:
            assert part.total_pair_weight == pytest.approx(batch.total_pair_weight / 3)
            assert part.total_weight == pytest.approx(batch.total_weight / 3)


def test_a_stream_goes_on_from_any_place():
    stream = stream_of(made())
    found = list(stream.batches(StreamPosition(2)))
    assert len(found) == stream.num_batches and found[-1][0] == StreamPosition(3)
    place, _ = found[1]
    for one, other in zip(stream.batches(place), found[2:], strict=True):
        assert one[0] == other[0]
        for array, twin in zip(one[1], other[1], strict=True):
            np.testing.assert_array_equal(array, twin)
