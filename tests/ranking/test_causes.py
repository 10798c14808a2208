"""Titles that cause an item, in worlds where the cause is known, and against direct scores."""

import numpy as np
import polars as pl
import pytest
import torch

from seqrec.errors import SeqRecError
from seqrec.explanations.facts import SentenceFacts
from seqrec.ranking.causes import choose_causes
from seqrec.ranking.evidence import find_evidence
from seqrec.ranking.explained import Explainer
from seqrec.ranking.ranker import Ranker
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.served import Reading, serve_baseline
from tests.conftest import save_small_model

NO_READING = Reading({}, plan=False)
ITEMS = pl.DataFrame({"item": range(40), "item_id": [f"t{row}" for row in range(40)]})
HISTORY = [f"t{row}" for row in (1, 2, 3, 5, 8, 9, 4)]
EXPLAINED = 20


class Rule(Ranker):
    """Item 20 scores 100 where a rule of the history holds; item ``i`` scores ``i`` elsewhere."""

    name, num_items = "rule", 40

    def __init__(self, holds):
        self.holds = holds

    def score_tiles(self, histories):
        scores = torch.arange(40.0).repeat(len(histories), 1)
        for row, history in enumerate(histories):
            scores[row, EXPLAINED] = 100.0 if self.holds(set(history.tolist())) else -1.0
        return lambda start, stop: scores[:, start:stop]


def choose(holds, history=HISTORY):
    served = serve_baseline(Rule(holds), ITEMS)
    found = find_evidence(served, history, np.array([EXPLAINED]), NO_READING)
    (choice,) = choose_causes(served, history, found, NO_READING)
    return choice


@pytest.mark.parametrize(
    ("holds", "expected"),
    [
        (lambda seen: 5 in seen, {5}),
        (lambda seen: {3, 5} <= seen, {3, 5}),
        (lambda seen: {1, 3, 9} <= seen, {1, 3, 9}),
        (lambda seen: 5 in seen or 8 in seen, {5, 8}),
        (lambda seen: 1 in seen and (3 in seen or 5 in seen), {1}),
    ],
)
def test_the_titles_that_a_rule_reads_are_the_cause(holds, expected):
    choice = choose(holds)
    assert choice.titles >= expected and choice.rank_without > 1
    assert len(choice.titles) <= len(expected) + 1 and choice.rank_alone == 1


class Votes(Rule):
    """Item 20 scores 7 for each of five titles in the history; other items score their number."""

    voters = frozenset({1, 3, 5, 8, 9})

    def score_tiles(self, histories):
        scores = torch.arange(40.0).repeat(len(histories), 1)
        for row, history in enumerate(histories):
            scores[row, EXPLAINED] = 7 * len(self.voters & set(history.tolist()))
        return lambda start, stop: scores[:, start:stop]


def test_a_set_grows_by_what_keeps_the_item_where_three_titles_do_not():
    served = serve_baseline(Votes(None), ITEMS)
    found = find_evidence(served, HISTORY, np.array([EXPLAINED]), NO_READING)
    (choice,) = choose_causes(served, HISTORY, found, NO_READING)
    # Five votes are 35: behind items 36 to 39. Four are 28: behind 29 to 39, the eleven above.
    assert choice.titles == Votes.voters
    assert (found[0].rank, choice.rank_alone, choice.rank_without) == (5, 5, 32)


def test_a_rule_that_reads_nothing_still_names_one_title():
    choice = choose(lambda seen: True)
    assert len(choice.titles) == 1 and (choice.rank_without, choice.rank_alone) == (1, 1)


def test_an_empty_history_has_no_cause():
    choice = choose(lambda seen: True, [])
    assert choice == (frozenset(), 1, 1)


def test_ranks_of_a_model_are_those_of_the_shortened_histories(tmp_path):
    own = Recommender.from_pretrained(save_small_model(tmp_path / "model"))
    served, history = own.serve(), ["t3", "t5", "t9", "t5", "t70"]
    items = np.array([7, 40])
    found = find_evidence(served, history, items, NO_READING)
    unseen = [row for row in range(100) if row not in (3, 5, 9, 70)]
    for item, choice in zip(items, choose_causes(served, history, found, NO_READING), strict=True):
        for kept, rank in ((False, choice.rank_without), (True, choice.rank_alone)):
            part = [row for row in (3, 5, 9, 5, 70) if (row in choice.titles) == kept]
            scores = own.score_tiles([np.array(part)])(0, 100)[0].detach()
            assert rank == 1 + int((scores[unseen] > scores[item]).sum())


def test_a_list_of_a_recommender_is_explained(tmp_path):
    own = Recommender.from_pretrained(save_small_model(tmp_path / "model"))
    histories = [["t3", "t5"], []]
    plain = own.recommend(histories, k=3)
    explained = own.recommend(histories, k=3, explain=True)
    assert [[one[:2] for one in listed] for listed in explained] == plain
    facts = explained[0][0].explanation.facts
    assert isinstance(facts, SentenceFacts) and facts.rank == 1
    assert facts.causes[0].title in ("t3", "t5")
    assert explained[1][0].explanation.sentence == "t99 was watched 99 times in training."
    with pytest.raises(SeqRecError, match="list of histories"):
        own.recommend({"a": ["t3"]}, explain=True)
    explainer = Explainer(own.serve())
    for one in explained[0]:
        assert not explainer.checker.check(one.explanation.sentence, one.explanation.facts)
