"""Events: text and fast path agree, blocks by hand, nothing of an event before its title."""

from functools import partial

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from seqrec.data.histories import Blocks, Histories, write_blocks
from seqrec.tokens.events.coder import EventCoder
from seqrec.tokens.events.event_tokens import EventTokens, event_text
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.values import UNKNOWN
from seqrec.tokens.streams.base import StreamPosition
from seqrec.tokens.streams.event_packing import pack_events
from seqrec.tokens.streams.examples import Examples
from seqrec.tokens.streams.log import PackedStream
from seqrec.tokens.streams.placement import pack_rows
from seqrec.tokens.streams.windows import Windows, training_windows
from seqrec.tokens.tokenizer import ItemTokens, build_tokenizer
from tests.tokens.conftest import feature

NUM_ITEMS = 50
ITEM_IDS = [f"t{item}" for item in range(NUM_ITEMS)]
IGNORE = -100
GENRES = np.arange(NUM_ITEMS) % 3
"""Codes: of every third title nothing is known."""


def events_of(dropout=0.0):
    """Genre, rating (learned) and gap after a title, and before it the rating to come."""
    grammar = Grammar(
        (
            feature("genre", source="item", key="genres", values=("Crime", "Drama")),
            feature("rating", is_learned=True),
            feature("gap", source="time", edges=(60.0,), values=("..60", "60..")),
            feature("wanted", place="before", is_learned=True, dropout=dropout),
        )
    )
    tokenizer = build_tokenizer(ITEM_IDS, grammar.words)
    tokens = ItemTokens.of(tokenizer, ITEM_IDS)
    return tokenizer, EventTokens.of(tokenizer, tokens, EventCoder(grammar, {0: GENRES}))


TOKENIZER, EVENTS = events_of()
GENRE, RATING, GAP, WANTED = EVENTS.first_tokens.tolist()
CODES = st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 2), st.integers(0, 5))


@given(st.lists(st.tuples(st.integers(0, NUM_ITEMS - 1), CODES), min_size=1, max_size=20))
def test_the_tokenizer_reads_events_as_text_as_the_fast_path_does(history):
    items = np.array([item for item, _ in history])
    told = np.array([codes for _, codes in history])
    text = event_text(EVENTS.grammar, [ITEM_IDS[item] for item in items], told)
    assert TOKENIZER(text)["input_ids"] == EVENTS.encode(items, told).flatten().tolist()


def test_a_saved_tokenizer_reads_events_too(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    text = "<item:t7> <genre=Crime> <rating=5> <gap=..60> <wanted=?> <item:nobody> <rating=9>"
    found = AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"]
    assert found == [9, GENRE + 1, RATING + 5, GAP + 1, WANTED, 1, 1]


def log_of(items, ratings, times, offsets):
    columns = {"rating": np.array(ratings, float), "time": np.array(times) * 1_000_000}
    split = np.zeros(len(items), np.uint8)
    return Histories(np.array(offsets), np.array(items, np.int32), split, columns)


LOG = log_of([4, 9, 7, 3, 8], [5, np.nan, 2, 1, 4], [0, 30, 500, 0, 61], [0, 3, 5])


def test_codes_by_hand():
    """Titles 9 and 3 have no genre; the first event of a user has no gap."""
    assert EVENTS.coder.codes(LOG).tolist() == [
        [1, 5, 0, 5],
        [0, 0, 1, 0],
        [1, 2, 2, 2],
        [0, 1, 0, 1],
        [2, 4, 2, 4],
    ]


def test_a_packed_row_by_hand():
    examples = Examples(
        LOG.items,
        np.ones(5, np.float32),
        training_windows(LOG.offsets[:-1], LOG.offsets[1:], 3, "all"),
        EVENTS.coder.codes(LOG),
    )
    rows = pack_rows(examples.windows.lengths, 3)
    generator = np.random.default_rng(0)
    batch = pack_events(examples, rows, EVENTS, generator, row_length=3, ignore_index=IGNORE)
    first = [[6, GENRE + 1, RATING + 5, GAP, WANTED], [11, GENRE, RATING, GAP + 1, WANTED + 2]]
    second = [[5, GENRE, RATING + 1, GAP, WANTED + 4]]
    assert batch.input_ids.tolist() == [sum(first + second, [])]
    assert batch.documents.tolist() == [[1] * 10 + [2] * 5]
    n = IGNORE
    assert batch.labels.tolist() == [[n, n, n, n, 9, n, n, n, n, 7, n, n, n, n, 8]]
    learned = [
        [n, RATING + 5, n, n, n],
        [n, n, n, WANTED + 2, n],
        [n, RATING + 1, n, WANTED + 4, n],
    ]
    assert batch.features.tolist() == [sum(learned, [])]
    assert (batch.total_weight, batch.num_features) == (3.0, 4.0)
    assert examples.num_features(np.arange(2), EVENTS) == 4


def test_nothing_of_an_event_is_told_before_its_title_but_what_is_placed_there(generator):
    """Whatever changes of one event, tokens before its title stay, ``wanted`` aside."""
    items, codes = generator.integers(0, NUM_ITEMS, 12), generator.integers(0, 3, (12, 4))
    windows = Windows(np.array([0]), np.array([11]), np.array([0]))

    def packed(items, codes):
        examples = Examples(items, np.ones(12, np.float32), windows, codes)
        rng = np.random.default_rng(0)
        batch = pack_events(examples, [[0]], EVENTS, rng, row_length=11, ignore_index=IGNORE)
        return batch.input_ids.reshape(11, 5)

    before = packed(items, codes)
    for event in range(1, 12):
        others, changed = items.copy(), codes.copy()
        others[event] += 1
        changed[event] = 2 - changed[event]
        after = packed(others, changed)
        np.testing.assert_array_equal(after[: event - 1], before[: event - 1])
        np.testing.assert_array_equal(after[event - 1, :4], before[event - 1, :4])


def test_features_are_left_open_as_often_as_the_grammar_says(generator):
    _, events = events_of(dropout=0.3)
    told = np.full((20_000, 4), 1)
    found = events.drop_features(told, generator)
    assert (found[:, :3] == 1).all() and abs((found[:, 3] == UNKNOWN).mean() - 0.3) < 0.015
    assert (told == 1).all()


def test_of_plain_items_the_titles_tell_what_they_can():
    flat = EVENTS.flatten([np.array([4, 9]), np.array([], int), np.arange(20)], max_length=5)
    assert flat.lengths.tolist() == [2, 1, 5]
    assert flat.items.tolist() == [4, 9, -1, 15, 16, 17, 18, 19]
    assert flat.codes[:, 0].tolist() == [1, 0, 0, 0, 1, 2, 0, 1]
    assert not flat.codes[:, 1:].any()


def test_the_last_event_says_what_is_asked_for():
    codes = EVENTS.coder.codes(LOG)
    asked = np.array([[0, 0, 0, 3], [0, 0, 0, 0]])
    histories = EventHistories([LOG.items[:3], LOG.items[3:]], [codes[:3], codes[3:]], asked)
    assert EVENTS.flatten(histories, 10).codes[:, 3].tolist() == [0, 2, 3, 4, 0]
    assert EVENTS.flatten(histories, 1).codes[:, 3].tolist() == [3, 0]
    assert EVENTS.flatten(histories[1:], 1).codes[:, 3].tolist() == [0]
    assert [history.tolist() for history in histories] == [[4, 9, 7], [3, 8]]
    assert EVENTS.flatten(histories.at(np.array([1, 0])), 10).items.tolist() == [3, 8, 4, 9, 7]


@pytest.fixture
def blocks(generator, tmp_path, monkeypatch):
    """150 users of 2 to 20 events, the last of each held out."""
    monkeypatch.setattr("seqrec.data.histories.BLOCK_ROWS", 400)
    lengths = generator.integers(2, 20, 150)
    users = np.repeat(np.arange(150), lengths)
    size = len(users)
    table = pl.DataFrame(
        {
            "user": users.astype(np.uint32),
            "item": generator.integers(0, NUM_ITEMS, size).astype(np.uint32),
            "split": np.append(users[1:] != users[:-1], True).astype(np.uint8),
            "time": pl.Series(np.cumsum(generator.integers(1, 120, size)) * 10**6).cast(
                pl.Datetime("us")
            ),
            "rating": generator.integers(1, 6, size),
        }
    )
    write_blocks(table, tmp_path / "log.parquet")
    return Blocks(tmp_path / "log.parquet", EVENTS.grammar.columns)


def stream_of(blocks, events, **more):
    return PackedStream(
        blocks,
        events.tokens,
        partial(training_windows, max_length=8, which="all", stride=5),
        weight=None,
        row_length=8,
        batch_size=6,
        pool_rows=500,
        ignore_index=IGNORE,
        seed=3,
        events=events,
        **more,
    )


def test_from_any_place_the_rest_of_the_epoch_follows_open_features_included(blocks):
    _, events = events_of(dropout=0.5)
    stream = stream_of(blocks, events)
    assert stream.row_length == 8 * 5
    epoch = list(stream.batches(StreamPosition()))
    for number in (0, 3, len(epoch) - 2):
        rest = [batch.input_ids.tolist() for _, batch in stream.batches(epoch[number][0])]
        assert rest == [batch.input_ids.tolist() for _, batch in epoch[number + 1 :]]


def test_an_epoch_teaches_every_title_and_every_feature_once(blocks):
    parts = [
        [
            batch
            for _, batch in stream_of(blocks, EVENTS, rank=rank, num_ranks=2).batches(
                StreamPosition()
            )
        ]
        for rank in range(2)
    ]
    whole = [batch for _, batch in stream_of(blocks, EVENTS).batches(StreamPosition())]
    log = [blocks.read([block]) for block in range(len(blocks))]
    num_targets = sum((part.split == 0).sum() - (np.diff(part.offsets) > 1).sum() for part in log)
    assert sum((batch.labels != IGNORE).sum() for batch in whole) == num_targets
    assert sum((batch.features != IGNORE).sum() for batch in whole) == 2 * num_targets
    for batch, first, second in zip(whole, *parts, strict=True):
        assert first.num_features == second.num_features == batch.num_features / 2
        assert batch.num_features == (batch.features != IGNORE).sum()
        shares = [(part.features != IGNORE).sum() for part in (first, second)]
        assert sum(shares) == batch.num_features
