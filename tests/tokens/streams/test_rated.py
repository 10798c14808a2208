"""Rated histories in packed rows: who is asked what, and what stands before it."""

import numpy as np
import pytest

from seqrec.data.histories import Histories
from seqrec.data.splits import TEST, TRAIN
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.streams.base import StreamPosition
from seqrec.tokens.streams.rated import RatedStream
from seqrec.tokens.streams.rated_packing import pack_prompts
from seqrec.tokens.streams.ratings import MISSING, START, RatedEvents, rating_levels, rating_rows
from seqrec.tokens.tokenizer import ItemTokens

TOKENS = ItemTokens(OneTokenItems(2, 100), pad_token_id=0, unknown_token_id=1)
LEVELS = [1.0, 2.0, 3.0, 4.0, 5.0]
NAN = float("nan")


def test_ratings_are_read_as_the_nearest_level():
    assert rating_levels(np.array([5, NAN, 1, 3, 3])) == [1, 3, 5]
    rows = rating_rows(np.array([1, NAN, 3, 4.9, 0.5, 9, 3.4]), [1, 3, 5])
    assert rows.tolist() == [2, MISSING, 3, 4, 2, 4, 3]
    many = rating_levels(np.arange(1000) / 7)
    assert len(many) == 64 and many == sorted(many)


def events_of(lengths, generator, num_held_out=1):
    """Users with as many titles, of which the last are of the test part; a few are not rated."""
    total = sum(lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    split = np.full(total, TRAIN, dtype=np.uint8)
    for end in offsets[1:]:
        split[end - num_held_out : end] = TEST
    ratings = generator.integers(1, 6, total).astype(float)
    ratings[generator.random(total) < 0.2] = np.nan
    items = generator.integers(0, 100, total).astype(np.int32)
    return RatedEvents.of(Histories(offsets, items, split, {"rating": ratings}))


def stream_of(events, **changes):
    settings = {
        "users": np.arange(len(events.starts)),
        "levels": LEVELS,
        "liked": 4,
        "row_length": 8,
        "batch_size": 3,
    }
    return RatedStream(events, tokens=TOKENS, **(settings | changes))


def test_held_out_parts_are_not_there(generator):
    events = events_of([4, 1, 6], generator, num_held_out=1)
    assert np.diff([*events.starts, events.ends[-1]]).tolist() == [3, 0, 5]
    assert events.users.tolist() == [0] * 3 + [2] * 5


@pytest.mark.parametrize("row_length", [1, 2, 7, 8])
def test_every_rated_event_is_asked_once_after_what_was_before_it(generator, row_length):
    events = events_of([30, 3, 9, 2, 17], generator)
    rows = rating_rows(events.ratings, LEVELS)
    stream = stream_of(events, row_length=row_length)
    asked = []
    for _, batch in stream.batches(StreamPosition()):
        assert batch.total_weight == len(batch.events)
        np.testing.assert_array_equal(batch.slates[:, 0], events.items[batch.events])
        np.testing.assert_array_equal(batch.labels, events.ratings[batch.events] >= 4)
        asked += batch.events.tolist()
        for row, column, event in zip(batch.rows, batch.columns, batch.events, strict=True):
            document = batch.documents[row]
            first = np.flatnonzero(document == document[column])[0]
            num_past = column - first
            assert batch.ratings[row, first] == START and batch.input_ids[row, first] == 0
            past = slice(event - num_past, event)
            read = slice(first + 1, column + 1)
            np.testing.assert_array_equal(
                batch.input_ids[row, read], TOKENS.encode(events.items[past]).squeeze(1)
            )
            np.testing.assert_array_equal(batch.ratings[row, read], rows[past])
            so_far = event - events.starts[events.users[event]]
            assert min(so_far, row_length // 2) <= num_past <= so_far
    assert sorted(asked) == np.flatnonzero(events.is_rated).tolist()
    assert stream.num_predictions.sum() == len(asked)
    in_order = [event for batch in stream.in_order() for event in batch.events]
    assert sorted(in_order) == sorted(asked)


def test_batches_follow_from_seed_and_place_and_processes_share_them(generator):
    events = events_of([30, 3, 9, 2, 17, 12, 12, 8], generator)
    whole = list(stream_of(events, batch_size=2).batches(StreamPosition(1)))
    place = whole[1][0]
    again = list(stream_of(events, batch_size=2).batches(place))
    for (_, one), (_, other) in zip(whole[2:], again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    ranks = [
        stream_of(events, batch_size=2, rank=r, num_ranks=2).batches(StreamPosition(1))
        for r in (0, 1)
    ]
    for (_, one), *parts in zip(whole, *ranks, strict=True):
        assert {part.total_weight for _, part in parts} == {one.total_weight / 2}
        found = np.concatenate([part.events for _, part in parts])
        assert sorted(found) == sorted(one.events)


def test_prompts_are_packed_as_the_stream_packs_them():
    histories = [np.arange(5), np.array([], dtype=int), np.array([7])]
    ratings = [np.array([2, 3, 4, 5, 6]), np.array([], dtype=int), np.array([1])]
    packed, history_of = pack_prompts(histories, ratings, TOKENS, max_length=4)
    assert sorted(history_of.tolist()) == [0, 1, 2]
    found = {}
    number = 0
    for row, documents in enumerate(packed.documents):
        for document in range(1, documents.max() + 1):
            of = documents == document
            tokens, rows = packed.input_ids[row, of], packed.ratings[row, of]
            found[history_of[number]] = (tokens.tolist(), rows.tolist())
            number += 1
    assert found == {
        0: ([0, 4, 5, 6], [START, 4, 5, 6]),
        1: ([0], [START]),
        2: ([0, 9], [START, 1]),
    }
