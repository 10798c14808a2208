"""Features: what they may be, how tokens spell it, and codes by hand."""

import numpy as np
import pytest

from seqrec.errors import SeqRecError
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.events.times import NO_TIME, time_values
from seqrec.tokens.events.values import UNKNOWN, bucket_names, value_text
from seqrec.tokens.item_blocks import event_block_size
from tests.tokens.conftest import feature

NAN = float("nan")


def test_a_number_belongs_to_the_bucket_that_starts_at_the_last_edge_not_above_it():
    gap = feature("gap", values=("..60", "60..3600", "3600.."), edges=(60.0, 3600.0))
    values = np.array([-5.0, 59.9, 60.0, 3599.0, 3600.0, 1e9, NAN])
    assert gap.codes(values).tolist() == [1, 1, 2, 2, 3, 3, UNKNOWN]
    assert gap.codes(np.array([])).tolist() == []


def test_a_bucket_that_training_never_met_is_unknown():
    gap = feature("gap", values=("..60", "3600.."), edges=(60.0, 3600.0))
    assert gap.codes(np.array([30.0, 100.0, 4000.0])).tolist() == [1, UNKNOWN, 2]
    assert [gap.code_of(value) for value in (30, "100", 4000, "3600..", "soon", NAN)] == [
        1,
        None,
        2,
        2,
        None,
        None,
    ]


def test_values_are_found_however_they_are_written():
    rating = feature("rating", values=("1", "3.5", "5"))
    assert rating.codes(np.array([5.0, 1.0, NAN, 3.5, 2.0])).tolist() == [3, 1, UNKNOWN, 2, UNKNOWN]
    assert [rating.code_of(value) for value in (5, 5.0, "5", "5.0", True, "x", None)] == [
        3,
        3,
        3,
        3,
        1,
        None,
        None,
    ]
    device = feature("device", values=("phone", "tv"))
    assert device.codes(np.array(["tv", "", "phone", "fridge"])).tolist() == [
        2,
        UNKNOWN,
        1,
        UNKNOWN,
    ]


def test_words_are_injective_and_free_of_whitespace():
    odd = ("?", "a b", "a%20b", "<x>", "é", "-1", "..60", "", "a\tb")
    words = feature("device", values=odd).words
    assert words[0] == "<device=?>" and len(set(words)) == len(odd) + 1
    assert not any(character.isspace() for word in words for character in word)


@pytest.mark.parametrize(
    ("value", "text"), [(5.0, "5"), (0.1, "0.1"), (12345678, "12345678"), (-2, "-2"), ("tv", "tv")]
)
def test_numbers_are_spelled_as_people_do(value, text):
    assert value_text(value) == text


def test_names_of_buckets_say_where_they_end():
    assert bucket_names([0, 1.5, 1234567]) == ["..0", "0..1.5", "1.5..1234567", "1234567.."]


def test_gaps_hours_and_weekdays_by_hand():
    """1970-01-01 was a Thursday; one user's events, then another's, one of them without a time."""
    hour = 3_600_000_000
    times = np.array([0, 30 * hour, 31 * hour, 5 * hour, NO_TIME, 9 * hour])
    is_first = np.array([True, False, False, True, False, False])
    by_hand = {
        "gap": [NAN, 108_000, 3600, NAN, NAN, NAN],
        "hour": [0, 6, 7, 5, NAN, 9],
        "weekday": [3, 4, 4, 3, NAN, 3],
    }
    for kind, wanted in by_hand.items():
        np.testing.assert_array_equal(time_values(times, is_first, kind), wanted)


def test_a_grammar_survives_its_dictionary():
    gap = feature("gap", source="time", values=("..60", "60.."), edges=(60.0,))
    grammar = Grammar((gap, feature("wanted", place="before", dropout=0.5, is_learned=True)))
    assert Grammar.of(grammar.to_dict()) == grammar
    assert event_block_size(1, len(grammar.features)) == 3 and grammar.first_code.tolist() == [0, 3]
    assert grammar.columns == ["time", "rating"]
    assert grammar.is_before.tolist() == grammar.is_learned.tolist() == [False, True]


def test_a_feature_is_found_by_its_name_or_its_column():
    grammar = Grammar((feature("seen"), feature("wanted", place="before")))
    assert (
        grammar.find_feature("wanted", "before", "x")
        == grammar.find_feature("rating", "before", "x")
        == 1
    )
    assert grammar.find_feature("rating", "after", "x") == 0
    with pytest.raises(SeqRecError, match="condition mood=5: .*the model knows: wanted"):
        grammar.find_feature("mood", "before", "condition mood=5")
    with pytest.raises(
        SeqRecError, match="condition wanted=7: not in the training data.*1, 2, 3, 4, 5"
    ):
        grammar.get_code(1, 7, "condition wanted=7")


def test_the_protocol_says_what_is_told_of_times():
    gap = {"source": "time", "edges": (60.0,), "values": ("..60", "60..")}
    plain = feature("rating")
    after, before = (feature("gap", place=place, **gap) for place in ("after", "before"))
    assert Grammar((plain,)).time_input == "no time input"
    assert Grammar((plain, after)).time_input == "times of past events read"
    assert Grammar((after, before)).time_input == "target time given"
    assert Grammar((after, before)).is_target_time.tolist() == [False, True]
