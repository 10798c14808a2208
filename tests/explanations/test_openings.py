"""Sentences are asked to begin in different ways, and the simulated writer knows all of them."""

from dataclasses import replace

import pytest

from benchmarks.explanations import trained
from seqrec.explanations.wording import OPENINGS, choose_opening, list_facts

PLOT = "A retired thief is asked for one last job by a man without a name. More follows."


def test_other_titles_are_asked_for_in_other_words_and_the_same_ones_alike(facts):
    chosen = [choose_opening(replace(facts, title=f"Film {number}")) for number in range(200)]
    assert set(chosen) == set(OPENINGS)
    assert choose_opening(facts) == choose_opening(facts) == list_facts(facts)["begin_with"]


def test_a_model_reads_the_beginning_of_the_plot(facts):
    assert "about" not in list_facts(replace(facts, about=""))
    assert list_facts(replace(facts, about=PLOT * 20))["about"] == (PLOT * 20)[:300]


@pytest.mark.parametrize("opening", OPENINGS)
def test_every_frame_of_the_writer_passes_the_check(facts, checker, monkeypatch, opening):
    monkeypatch.setattr(trained, "choose_opening", lambda facts: opening)
    one = replace(facts, about=PLOT)
    text = trained.write_target(one, checker)
    assert text is not None and text.startswith(opening) and "retired thief" in text
    assert trained.write_target(replace(facts, about=""), checker) is None
