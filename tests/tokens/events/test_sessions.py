"""Sessions and events that are left out, by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seqrec.data.histories import Histories
from seqrec.tokens.events.coder import EventCoder, number_values
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.grammar import Grammar, Sessions
from seqrec.tokens.events.sessions import continues, shorten_events
from seqrec.tokens.events.times import NO_TIME
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.streams.examples import shorten_log
from seqrec.tokens.tokenizer import ItemTokens
from tests.tokens.conftest import feature

SECOND = 1_000_000
BINGED = feature("binged", source="session", key="", values=("no", "yes"))
GAP = feature("gap", source="time", edges=(60.0,), values=("..60", "60.."))
WANTED = feature("wanted", place="before")
SERIES = np.array([0, 0, 0, 1, 1, -1, -1, 2])
"""Of eight titles; two have none."""


def events_of(*features, sessions=True):
    grammar = Grammar(features, Sessions("item", "series", 100) if sessions else None)
    tokens = ItemTokens(OneTokenItems(2, 8), pad_token_id=0, unknown_token_id=1)
    return EventTokens(tokens, EventCoder(grammar, {}, SERIES), first_token=10)


def test_a_session_goes_on_in_the_same_series_within_the_gap():
    series = np.array([0, 0, 0, 1, 1, -1, -1, 0, 0, 0])
    times = np.array([0, 50, 151, 160, 260, 261, 262, 270, 280, NO_TIME]) * 1
    times[:-1] *= SECOND
    is_first = np.arange(10) == 8
    found = continues(series, times, is_first, gap_seconds=100)
    assert found.tolist() == [False, True, False, False, True, *[False] * 5]
    backwards = continues(np.zeros(3, int), times[[2, 1, 2]], np.zeros(3, bool), gap_seconds=200)
    assert backwards.tolist() == [False, False, True]
    assert number_values(np.array(["b", "", "a", "b"])).tolist() == [2, -1, 1, 2]
    assert number_values(np.array([2.0, np.nan, 1.0])).tolist() == [1, -1, 0]


def log_of():
    """Two users; the second one's last two events are held out."""
    seconds = [0, 500, 550, 600, 900, 0, 10, 20, 30]
    columns = {
        "time": np.array(seconds) * SECOND,
        "rating": np.array([1, 2, 3, 4, 5, 1, 2, 3, 4.0]),
    }
    split = np.array([0, 0, 0, 0, 0, 0, 0, 1, 2], np.uint8)
    items = np.array([7, 0, 1, 2, 3, 3, 4, 3, 4], np.int32)
    return Histories(np.array([0, 5, 9]), items, split, columns)


def test_a_session_becomes_its_last_event_and_is_learned_as_its_first():
    events = events_of(feature("rating"), GAP, BINGED, WANTED)
    log = log_of()
    codes = events.coder.codes(log)
    assert codes[:, 2].tolist() == [1, 1, 2, 2, 1, 1, 2, 2, 2]
    shorter, told, targets = shorten_log(log, codes, events.grammar)
    assert shorter.items.tolist() == [7, 2, 3, 4, 3, 4]
    assert targets.tolist() == [7, 0, 3, 3, 3, 4]
    assert shorter.offsets.tolist() == [0, 3, 6]
    assert shorter.split.tolist() == [0, 0, 0, 0, 1, 2]
    weight_of_targets = shorter.columns["rating"].tolist()
    assert weight_of_targets == [1, 2, 5, 1, 3, 4]
    rating, gap, binged, wanted = told[:4].T.tolist()
    assert rating == [1, 4, 5, 2]
    assert gap == [0, 2, 2, 0]
    assert binged == [1, 2, 1, 2]
    assert wanted == [1, 2, 5, 1]


def test_a_recommender_merges_what_stands_before_the_question():
    events = events_of(feature("rating"), BINGED)
    log = log_of()
    codes = events.coder.codes(log)
    histories = events.without_features([log.items[:5], log.items[5:9]])
    histories.codes = [codes[:5], codes[5:9]]
    flat = events.flatten(histories, max_length=2)
    assert flat.items.tolist() == [2, 3, 4] and flat.lengths.tolist() == [2, 1]
    assert [history.tolist() for history in histories] == [[7, 0, 1, 2, 3], [3, 4, 3, 4]]
    plain = events.flatten([log.items[:5]], max_length=10)
    assert plain.items.tolist() == [7, 0, 1, 2, 3] and not plain.codes.any()


def test_events_of_dropped_values_are_left_out():
    rating = feature("rating", dropped=("1", "4"))
    events = events_of(rating, sessions=False)
    shorter, told, targets = shorten_log(log_of(), events.coder.codes(log_of()), events.grammar)
    assert shorter.items.tolist() == targets.tolist() == [0, 1, 3, 4, 3]
    assert told[:, 0].tolist() == [2, 3, 5, 2, 3]
    assert shorter.offsets.tolist() == [0, 3, 5]
    codes = np.array([[1], [4]])
    histories = events.without_features([np.array([5, 6])])
    histories.codes = [codes]
    assert events.flatten(histories, 5).items.tolist() == [-1]


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 5), st.booleans()), max_size=30))
def test_every_event_is_kept_merged_or_dropped(rows):
    """And what becomes of the sessions before the last depends on nothing that comes later."""
    grammar = Grammar((BINGED, feature("rating", dropped=("3",))))
    codes = np.array([row[:2] for row in rows], dtype=int).reshape(-1, 2)
    is_first = np.array([row[2] for row in rows], dtype=bool)
    whole = shorten_events(grammar, codes, is_first)
    is_kept = np.isin(np.arange(len(rows)), whole.kept)
    assert (is_kept.astype(int) + whole.is_merged + whole.is_dropped == 1).all()
    assert ((whole.codes[:, 0] == 2) == (whole.first < whole.kept)).all()
    begins = np.flatnonzero((codes[:, 0] != 2) | is_first)
    for end in begins:
        part = shorten_events(grammar, codes[:end], is_first[:end])
        assert whole.kept[whole.kept < end].tolist() == part.kept.tolist()


def test_a_dropped_event_does_not_take_its_session_along():
    grammar = Grammar((BINGED, feature("rating", dropped=("1",))))
    codes = np.array([[1, 5], [2, 4], [2, 1], [1, 1], [2, 3], [1, 2]])
    left = shorten_events(grammar, codes, np.arange(6) == 0)
    assert left.kept.tolist() == [1, 4, 5] and left.first.tolist() == [0, 4, 5]
    assert left.codes.tolist() == [[2, 4], [1, 3], [1, 2]]
    assert left.is_dropped.tolist() == [False, False, True, True, False, False]
