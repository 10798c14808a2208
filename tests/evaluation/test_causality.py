"""No model input depends on the row of the target item."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seqrec.data.histories import Histories
from seqrec.data.splits import TEST, TRAIN, VALIDATION
from seqrec.evaluation.protocol import build_queries
from seqrec.evaluation.strata import shuffle_histories
from seqrec.tokens.events.coder import EventCoder
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.events.grammar import Grammar, Sessions
from seqrec.tokens.events.times import NO_TIME
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.tokenizer import ItemTokens
from tests.tokens.conftest import feature

NUM_ITEMS = 20
GAP = {"source": "time", "edges": (60.0, 3600.0), "values": ("..60", "60..3600", "3600..")}
HOUR = {"source": "time", "key": "hour", "values": tuple(map(str, range(24)))}
GENRE = {"source": "item", "key": "genres", "values": ("Crime", "Drama")}
SAFE = Grammar(
    (
        feature("genre", **GENRE),
        feature("rating"),
        feature("gap", **GAP),
        feature("wanted", place="before", dropout=0.5),
        feature("wanted_genre", place="before", dropout=0.5, **GENRE),
    )
)
TIMED = replace(SAFE, times="past_times")
TITLES = Grammar((), times="past_times")
BINGED = feature("binged", source="session", key="", values=("no", "yes"))
SESSIONS = [
    Grammar(
        (feature("rating", dropped=("1",)), feature("gap", **GAP), BINGED),
        Sessions(source, "series", gap_seconds=4000),
        times="past_times",
    )
    for source in ("item", "column")
]
TOLD = Grammar((feature("rating"), feature("hour", place="before", **HOUR)))
TOKENS = ItemTokens(OneTokenItems(2, NUM_ITEMS), pad_token_id=0, unknown_token_id=1)


def log_of(lengths, seed):
    """Histories that end with a validation and a test row."""
    generator = np.random.default_rng(seed)
    size, offsets = sum(lengths), np.concatenate([[0], np.cumsum(lengths)])
    split = np.full(size, TRAIN, np.uint8)
    split[offsets[1:] - 2], split[offsets[1:] - 1] = VALIDATION, TEST
    times = np.cumsum(generator.integers(1, 5000, size)) * 1_000_000
    times[generator.random(size) < 0.1] = NO_TIME
    columns = {
        "rating": generator.integers(1, 6, size).astype(float),
        "time": times,
        "series": generator.choice(["a", "b", ""], size),
    }
    return Histories(offsets, generator.integers(0, NUM_ITEMS, size, np.int32), split, columns)


def inputs(log, grammar, genres, split, targets):
    """The tokens of every query's history and their times, and its rows of the log."""
    codes = {n: genres for n, one in enumerate(grammar.features) if one.source == "item"}
    coder = EventCoder(grammar, codes, item_series=genres - 1)
    events = EventTokens(TOKENS, coder, first_token=2 + NUM_ITEMS)
    queries = build_queries(log, split, targets).with_events(log, events)
    flat = events.flatten(queries.histories, max_length=8)
    blocks = events.encode(flat.items, flat.codes)
    times = np.zeros((len(blocks), 0), int) if flat.times is None else flat.times
    parts = np.split(np.concatenate([blocks, times], axis=1), np.cumsum(flat.lengths)[:-1])
    return [part.flatten().tolist() for part in parts], queries


LENGTHS = st.lists(st.integers(3, 15), min_size=1, max_size=5)


@given(
    LENGTHS,
    st.integers(0, 2**16),
    st.sampled_from(["validation", "test"]),
    st.sampled_from(["together", "last", "successive"]),
    st.sampled_from([SAFE, TIMED, TITLES, *SESSIONS]),
)
def test_the_input_does_not_depend_on_the_target_row(lengths, seed, split, targets, grammar):
    log, generator = log_of(lengths, seed), np.random.default_rng(seed)
    genres = generator.integers(0, 3, NUM_ITEMS)
    before, queries = inputs(log, grammar, genres, split, targets)
    for place, end in enumerate(queries.ends):
        items, columns = log.items.copy(), {key: log.columns[key].copy() for key in log.columns}
        items[end] = (items[end] + 1) % NUM_ITEMS
        columns["rating"][end] = 6 - columns["rating"][end]
        columns["time"][end] = log.columns["time"][end - 1]
        columns["series"][end] = log.columns["series"][end - 1]
        other_genres = (genres + 1) % 3
        other_genres[queries.histories[place]] = genres[queries.histories[place]]
        changed = Histories(log.offsets, items, log.split, columns)
        after, _ = inputs(changed, grammar, other_genres, split, targets)
        assert after[place] == before[place]


@given(LENGTHS, st.integers(0, 2**16))
def test_only_a_grammar_with_a_target_time_reads_it(lengths, seed):
    log = log_of(lengths, seed)
    assert SAFE.time_input == "times of past events read"
    assert TOLD.time_input == "target time given"
    genres = np.zeros(NUM_ITEMS, int)
    before, queries = inputs(log, TOLD, genres, "test", "last")
    later = log.columns["time"].copy()
    is_known = later[queries.ends] != NO_TIME
    later[queries.ends[is_known]] += 3600 * 1_000_000
    columns = log.columns | {"time": later}
    after, _ = inputs(
        Histories(log.offsets, log.items, log.split, columns), TOLD, genres, "test", "last"
    )
    for one, other, is_changed in zip(before, after, is_known, strict=True):
        assert one[:-1] == other[:-1] and (one[-1] != other[-1]) == is_changed


@given(LENGTHS, st.integers(0, 2**16))
def test_only_a_target_time_bias_counts_to_the_targets_time(lengths, seed):
    log, genres = log_of(lengths, seed), np.zeros(NUM_ITEMS, int)
    told = Grammar((), times="target_time")
    assert TIMED.time_input == TITLES.time_input == "times of past events read"
    assert told.time_input == "target time given"
    found, queries = inputs(log, told, genres, "test", "last")
    for of_query, end in zip(found, queries.ends, strict=True):
        titles, read, asked = np.array(of_query).reshape(-1, 3).T
        times = log.columns["time"][end - len(titles) : end + 1]
        assert titles.tolist() == (2 + log.items[end - len(titles) : end]).tolist()
        assert read.tolist() == times[:-1].tolist() and asked.tolist() == times[1:].tolist()


def test_parts_of_the_queries_keep_their_events():
    log, genres = log_of([5, 9, 4], seed=1), np.arange(NUM_ITEMS) % 3
    _, queries = inputs(log, SAFE, genres, "test", "last")
    assert [len(codes) for codes in queries.at(np.array([2, 0])).histories.codes] == [3, 4]
    assert [len(codes) for codes in queries.every(2, start=1).histories.codes] == [8]
    mixed = shuffle_histories(queries, seed=3).histories
    for place, (items, codes) in enumerate(zip(mixed.items, mixed.codes, strict=True)):
        assert sorted(items) == sorted(queries.histories[place])
        assert (codes[:, 0] == genres[items]).all()
    _, queries = inputs(log, TITLES, genres, "test", "last")
    (wanted,) = queries.every(2, start=1).histories.times
    assert wanted.tolist() == log.columns["time"][5:13].tolist()
    mixed = shuffle_histories(queries, seed=3).histories
    assert [times.tolist() for times in mixed.times] == [
        t.tolist() for t in queries.histories.times
    ]
