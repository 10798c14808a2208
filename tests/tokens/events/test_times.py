"""Times on the way to the model: each event's at its tokens, the target's where it is told."""

from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
import pytest

from seqrec.data.histories import Blocks, Histories, write_blocks
from seqrec.errors import SeqRecError
from seqrec.tokens.events.coder import EventCoder
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.grammar import Grammar, Sessions
from seqrec.tokens.events.histories import EventHistories
from seqrec.tokens.events.requests import parse_conditions, parse_events
from seqrec.tokens.events.times import NO_TIME
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.streams.base import StreamPosition
from seqrec.tokens.streams.event_packing import UNTIMED_SHARE, pack_events
from seqrec.tokens.streams.examples import Examples, shorten_log
from seqrec.tokens.streams.log import PackedStream
from seqrec.tokens.streams.windows import Windows, training_windows
from seqrec.tokens.tokenizer import ItemTokens, build_tokenizer
from tests.tokens.conftest import feature

IGNORE = -100
NUM_ITEMS = 3000
TOKENS = ItemTokens(OneTokenItems(2, NUM_ITEMS), pad_token_id=0, unknown_token_id=1)
RATED = (feature("rating", is_learned=True), feature("wanted", place="before"))
BINGED = feature("binged", source="session", key="", values=("no", "yes"))


def events_of(times, features=(), sessions=None):
    grammar = Grammar(features, sessions, times)
    return EventTokens(TOKENS, EventCoder(grammar, {}), first_token=2 + NUM_ITEMS)


class AlwaysTimed:
    """Draws by which nothing is left open."""

    def random(self, shape):
        return np.ones(shape)


def packed(times, features=()):
    """Two windows of three and two events in a row of six; the log says 0, 10, 20, ... seconds."""
    events = events_of(times, features)
    windows = Windows(np.array([0, 5]), np.array([3, 2]), np.array([0, 0]))
    examples = Examples(
        np.arange(8),
        np.ones(8, np.float32),
        windows,
        np.ones((8, len(features)), dtype=np.int64),
        times=10 * np.arange(8),
    )
    return pack_events(examples, [[0, 1]], events, AlwaysTimed(), row_length=6, ignore_index=IGNORE)


def test_titles_have_the_times_of_their_events():
    batch = packed("past_times")
    assert batch.input_ids.tolist() == [[2, 3, 4, 7, 8, 0]]
    assert batch.labels.tolist() == [[1, 2, 3, 6, 7, IGNORE]]
    wanted = [[0, 10, 20, 50, 60, NO_TIME]]
    assert batch.times[..., 0].tolist() == batch.times[..., 1].tolist() == wanted


def test_where_the_targets_time_is_told_gaps_are_counted_to_it():
    times = packed("target_time").times
    assert times[..., 0].tolist() == [[0, 10, 20, 50, 60, NO_TIME]]
    assert times[..., 1].tolist() == [[10, 20, 30, 60, 70, NO_TIME]]


@pytest.mark.parametrize("which", ["past_times", "target_time"])
def test_tokens_of_a_block_share_their_events_time_and_the_last_asks(which):
    """What is learned of an event itself is not told when the next one is."""
    times = packed(which, RATED).times[0].reshape(6, 3, 2)
    own = [0, 10, 20, 50, 60]
    assert times[:5, :, 0].tolist() == [[time] * 3 for time in own]
    assert times[:5, :2, 1].tolist() == [[time] * 2 for time in own]
    next_one = [10, 20, 30, 60, 70] if which == "target_time" else own
    assert times[:5, 2, 1].tolist() == next_one
    assert (times[5] == NO_TIME).all()


@pytest.fixture
def log(generator):
    """150 users of 2 to 20 events, the last held out; every item stands there once."""
    lengths = generator.integers(2, 20, 150)
    users = np.repeat(np.arange(150), lengths)
    size = len(users)
    times = np.cumsum(generator.integers(1, 10**9, size)).astype(np.int64)
    times = pl.Series(times).cast(pl.Datetime("us"))
    is_unknown = pl.Series(generator.random(size) < 0.1)
    return pl.DataFrame(
        {
            "user": users.astype(np.uint32),
            "item": generator.permutation(NUM_ITEMS)[:size].astype(np.uint32),
            "split": np.append(users[1:] != users[:-1], True).astype(np.uint8),
            "time": times.set(is_unknown, None),
            "rating": generator.integers(1, 6, size),
        }
    )


@pytest.mark.parametrize("features", [(), RATED], ids=["titles", "blocks"])
@pytest.mark.parametrize("which", ["past_times", "target_time"])
def test_streamed_in_row_groups_every_title_comes_with_its_time(
    log, tmp_path, monkeypatch, which, features
):
    """Also in sliding windows; a window has all of its times or, seldom, none."""
    monkeypatch.setattr("seqrec.data.histories.BLOCK_ROWS", 300)
    write_blocks(log, tmp_path / "log.parquet")
    events = events_of(which, features)
    stream = PackedStream(
        Blocks(tmp_path / "log.parquet", events.grammar.columns),
        TOKENS,
        partial(training_windows, max_length=8, which="all", stride=5),
        weight=None,
        row_length=8,
        batch_size=6,
        pool_rows=500,
        ignore_index=IGNORE,
        seed=3,
        events=events,
    )
    assert len(stream.blocks) > 3
    raw = log["time"].cast(pl.Int64).fill_null(NO_TIME).to_list()
    time_of = dict(zip(log["item"].to_list(), raw, strict=True))
    size, num_windows, num_untimed = events.block_size, 0, 0
    for epoch in range(4):
        for _, batch in stream.batches(StreamPosition(epoch)):
            titles = batch.input_ids[:, ::size] - 2
            for row, documents in enumerate(batch.documents[:, ::size]):
                for number in range(1, documents.max() + 1):
                    at = np.flatnonzero(documents == number)
                    read = batch.times[row].reshape(-1, size, 2)[at]
                    own = [time_of[item] for item in titles[row, at].tolist()]
                    after = [
                        *own[1:],
                        time_of.get(int(batch.labels[row, size * at[-1] + size - 1])),
                    ]
                    num_windows += 1
                    if (read == NO_TIME).all() and set(own) != {NO_TIME}:
                        num_untimed += 1
                        continue
                    assert read[:, 0, 0].tolist() == own
                    assert read[:, -1, 1].tolist() == (own if which == "past_times" else after)
    assert abs(num_untimed / num_windows - UNTIMED_SHARE) < 0.03


def test_a_session_has_the_time_of_its_first_title():
    """As a target it counts as that; what it says of times is that one's, too."""
    sessions = Sessions("column", "series", gap_seconds=60)
    events = events_of("target_time", (BINGED,), sessions)
    seconds = np.array([0, 30, 80, 1000, 1010, 5000]) * 1_000_000
    columns = {"time": seconds, "series": np.array(list("aaabbc"))}
    log = Histories(np.array([0, 6]), np.arange(6, dtype=np.int32), np.zeros(6, np.uint8), columns)
    codes = events.coder.codes(log)
    shorter, _, targets = shorten_log(log, codes, events.grammar)
    assert shorter.items.tolist() == [2, 4, 5] and targets.tolist() == [0, 3, 5]
    assert (shorter.columns["time"] // 1_000_000).tolist() == [0, 1000, 5000]
    histories = EventHistories(
        [log.items], [codes], np.zeros((1, 1), int), [seconds], np.array([9_000_000_000])
    )
    flat = events.flatten(histories, max_length=2)
    assert (flat.times // 1_000_000).tolist() == [[1000, 5000], [5000, 9000]]


def test_the_last_events_of_histories_keep_their_times():
    items, times = (
        [np.array([4, 9, 7]), np.array([], int)],
        [np.array([1, 2, 3]), np.array([], int)],
    )
    codes = [np.zeros((3, 0), int), np.zeros((0, 0), int)]
    histories = EventHistories(items, codes, np.zeros((2, 0), int), times, np.array([5, 6]))
    past, told = events_of("past_times"), events_of("target_time")
    n = NO_TIME
    assert past.flatten(histories, 2).times.tolist() == [[2, 2], [3, 3], [n, n]]
    assert told.flatten(histories, 2).times.tolist() == [[2, 3], [3, 5], [n, 6]]
    assert told.flatten(histories.at(np.array([1, 0])), 1).times.tolist() == [[n, 6], [3, 5]]
    assert told.flatten(histories[:1], 1).times.tolist() == [[3, 5]]
    untold = replace(histories, target_times=None)
    assert told.flatten(untold, 2).times.tolist() == [[2, 3], [3, n], [n, n]]
    plain = past.flatten([np.array([4, 9]), np.array([], int)], 5)
    assert plain.lengths.tolist() == [2, 1] and (plain.times == n).all()
    assert events_of(None).flatten(histories, 2).times is None


def test_events_as_people_write_them_say_when_they_were():
    events = events_of("past_times")
    history = [
        "a",
        {"item_id": "b", "time": "1970-01-02T00:00"},
        {"item_id": "c", "time": 90_000.5},
    ]
    found = parse_events(history, np.arange(3), events)
    assert found.times.tolist() == [NO_TIME, 86_400_000_000, 90_000_500_000]
    assert found.codes.shape == (3, 0) and not found.unknown
    with pytest.raises(SeqRecError, match="oldest first"):
        parse_events([history[2], history[1]], np.arange(2), events)


def test_a_time_is_given_to_models_that_are_told_it_alone():
    told = events_of("target_time", RATED).grammar
    assert parse_conditions(told, {"time": 90, "wanted": 3}).time == 90_000_000
    assert parse_conditions(told, {"wanted": 3}).time is None
    with pytest.raises(SeqRecError, match="condition: time 'noon' is neither"):
        parse_conditions(told, {"time": "noon"})
    with pytest.raises(SeqRecError, match="condition time=90"):
        parse_conditions(events_of("past_times", RATED).grammar, {"time": 90})


def test_without_features_the_tokenizer_needs_none_of_their_words():
    item_ids = ["a", "b"]
    tokenizer = build_tokenizer(item_ids)
    tokens = ItemTokens.of(tokenizer, item_ids)
    events = EventTokens.of(tokenizer, tokens, EventCoder(Grammar((), times="past_times"), {}))
    assert events.block_size == 1 and events.grammar.columns == ["time"]
    blocks = events.encode(np.array([1, 0]), np.zeros((2, 0), int))
    assert blocks.flatten().tolist() == tokenizer("<item:b> <item:a>")["input_ids"]
