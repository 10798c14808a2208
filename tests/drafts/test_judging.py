"""Judging of summaries: words that a plot has not, and titles that are told apart."""

import numpy as np
import pytest

from benchmarks.drafts.judging import (
    Finder,
    hide_title,
    list_grams,
    measure_novelty,
    take_first_sentence,
)

PLOT = "A boy finds a map. He follows it to the sea."


def test_new_words_are_those_in_fours_that_the_plot_has_not():
    assert measure_novelty("A boy finds a map.", PLOT) == 0
    assert measure_novelty("a BOY finds a map, of gold", PLOT) == pytest.approx(2 / 4)
    assert measure_novelty("Nothing of this is there", PLOT) == 1
    assert measure_novelty("too short", PLOT) == 0
    assert list_grams("one two three four five") == [
        ("one", "two", "three", "four"),
        ("two", "three", "four", "five"),
    ]


def test_a_title_is_hidden_in_all_its_spellings():
    title = "Matrix, The (1999)"
    assert hide_title("The Matrix and matrix, the (1999) meet.", title) == (
        "this title and this title meet."
    )
    assert hide_title("Heather is no Heat.", "Heat (1995)") == "Heather is no this title."
    assert take_first_sentence(PLOT) == "A boy finds a map."


def test_the_rank_of_a_title_counts_those_that_are_nearer():
    finder = Finder.__new__(Finder)
    finder.vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    asked = np.array([[1.0, 0.1], [1.0, 0.1]])
    assert finder.rank(asked, [0, 1]).tolist() == [1, 3]
