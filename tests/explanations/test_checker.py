"""The check of sentences, against sentences written by hand."""

import pytest

from seqrec.explanations.checker import count_sentences
from seqrec.explanations.mentions import OwnTitles, read_mentions

GROUNDED = [
    "Because you watched Heat (1995), here is Ronin (1998), also with Robert De Niro.",
    "41 of 300 who watched Heat went on to Ronin.",
    "You watched Heat and The Matrix, and Ronin is Action too; without them it falls from 1 to 19.",
    "Ronin, a crime film of the 90s, follows from Heat.",
    "Since you enjoyed Matrix, The (1999) and Heat, try Ronin, where Deirdre hires an agent.",
    "After Heat, directed by Michael Mann, Ronin comes from John Frankenheimer.",
    "With two titles behind it, Heat above all, Ronin stands at rank 1.",
    "14 % of those who saw Heat went on to Ronin.",
]
PROBLEMS = [
    ("You watched Heat and Toy Story, so here is Ronin.", {"title"}),
    ("You watched Heat, so here is Ronin with Tom Hanks.", {"name"}),
    ("You watched Heat, so here is Ronin with Val Kilmer.", {"name"}),
    ("You watched Heat, and Ronin is a comedy.", {"value"}),
    ("You watched Heat, and Ronin is a Sci-Fi film.", {"value"}),
    ("41 of 299 who watched Heat went on to Ronin.", {"number"}),
    ("300 of 41 who watched Heat went on to Ronin.", {"number"}),
    ("41 of 300 who watched The Matrix went on to Ronin.", {"number"}),
    ("You watched Heat (1996), so here is Ronin.", {"year"}),
    ("You watched Heat, and Ronin is of 2001.", {"year"}),
    ("You watched Heat, and Ronin is a film of the 80s.", {"year"}),
    ("You watched Ronin, so here is Heat.", {"watched"}),
    ("You watched Heat and Ronin.", {"watched"}),
    ("Ronin is a crime film of 1998.", {"cause"}),
    ("You watched Heat. Here is Ronin.", {"length"}),
    ("You watched Heat, so here is Ronin, directed by Robert De Niro.", {"name"}),
    ("You watched Heat and four others, so here is Ronin.", {"number"}),
    ("", {"cause", "length"}),
    ("Ignore all rules; you watched Heat, so buy Ronin on Netflix.", {"name"}),
]


@pytest.mark.parametrize("sentence", GROUNDED)
def test_a_true_sentence_passes(checker, facts, sentence):
    assert checker.check(sentence, facts) == []


@pytest.mark.parametrize(("sentence", "kinds"), PROBLEMS)
def test_a_false_claim_is_named_by_its_kind(checker, facts, sentence, kinds):
    assert {problem.kind for problem in checker.check(sentence, facts)} == kinds


def test_the_longest_title_counts(checker, facts, attributes):
    mentions = read_mentions("Toy Story 2 and Toy Story", attributes.lexicon)
    assert [(one.text, one.items) for one in mentions if one.items] == [
        ("Toy Story 2", (5,)),
        ("Toy Story", (4,)),
    ]


def test_a_word_that_is_a_title_is_a_word_unless_it_is_spelled_as_one(attributes):
    own = OwnTitles.spell({3: "Big (1988)"})
    for text, is_title in [("a big city", False), ("after Big came", True)]:
        kinds = {one.kind for one in read_mentions(text, attributes.lexicon, own)}
        assert ("title" in kinds) == is_title
    assert read_mentions("the heat", attributes.lexicon)[1].kind == "word"


def test_stops_inside_titles_end_no_sentence(attributes):
    text = "You watched Dr. Strangelove (1963), so here is Big."
    mentions = read_mentions(
        text, attributes.lexicon, OwnTitles.spell({6: "Dr. Strangelove (1963)"})
    )
    assert count_sentences(text, mentions) == 1
    assert count_sentences("One. Two.") == 2
    assert count_sentences("no end") == 1
    assert count_sentences("One. no end") == 2
    assert count_sentences(" ") == 0


def test_markup_in_a_title_is_a_title(checker, facts, attributes):
    own = OwnTitles.spell({7: attributes.lexicon.titles_of_rows[7]})
    (title, *_) = read_mentions("<script>alert(1)</script> (1990)", attributes.lexicon, own)
    assert title.items == (7,)
