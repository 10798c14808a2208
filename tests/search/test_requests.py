"""Synthesised requests: seeded, from the columns of the items, and never by a title's name."""

import numpy as np
import polars as pl
import pytest

from seqrec.errors import SeqRecError
from seqrec.search.requests.facts import read_facts
from seqrec.search.requests.synthesis import is_held_out, synthesise_requests
from seqrec.search.words import normalise_phrase

ITEMS = pl.DataFrame(
    {
        "item_id": ["1", "2", "3"],
        "title": ["Heat (1995)", "Toy Story (1995)", "Untold (2001)"],
        "genres": [["Crime", "Drama"], ["Comedy"], []],
        "tags": [["heist", "slow heat", "los angeles"], ["toys", "pixar", "friendship"], []],
        "director": ["Michael Mann", "John Lasseter", None],
        "year": [1995, 1995, 2001],
        "plot": [
            "A crew feels the heat from a detective. They plan one more robbery in town.",
            "A boy owns toys that live when nobody is looking at them.",
            None,
        ],
    }
)


def words_of(text):
    return set(normalise_phrase(text))


def test_requests_hold_facts_of_their_item_and_never_its_title():
    requests = synthesise_requests(ITEMS, per_item=40, seed=0)
    for table in requests[:2]:
        texts = [[table.texts[at] for at in row if at >= 0] for row in table.of_item]
        assert texts[0] and texts[1] and not texts[2]
        assert not any("heat" in words_of(text) for text in texts[0])
        assert not any("toy story" in " ".join(normalise_phrase(text)) for text in texts[1])
        facts = {"heist", "los", "crime", "drama", "mann", "1990s", "robbery"}
        assert all(words_of(text) & facts for text in texts[0])


def test_the_title_inside_a_fact_removes_that_fact_alone():
    heat, toys, untold = read_facts(ITEMS)
    assert heat.values["tag"] == ["heist", "los angeles"]
    assert heat.values["sentence"] == ["They plan one more robbery in town."]
    assert toys.values["tag"] == ["toys", "pixar", "friendship"]
    assert toys.values["decade"] == ["1990s"] and not untold.values["sentence"]


def test_a_seed_decides_every_request_and_another_seed_others():
    first, again, other = (synthesise_requests(ITEMS, per_item=8, seed=n) for n in (0, 0, 1))
    assert first.training.texts == again.training.texts
    assert np.array_equal(first.training.of_item, again.training.of_item)
    assert first.training.texts != other.training.texts


def test_wordings_and_tags_of_validation_are_not_trained_on():
    tags = [f"tag{number}" for number in range(200)]
    items = pl.DataFrame(
        {"item_id": ["1", "2"], "title": ["One", "Two"], "tags": [tags[:100], tags[100:]]}
    )
    requests = synthesise_requests(items, per_item=500, seed=0)
    held_out = {tag for tag in tags if is_held_out(tag)}
    assert 5 < len(held_out) < 40
    assert set(requests.new_tags.texts) == held_out
    for table in (requests.training, requests.new_wordings):
        assert not any(words_of(text) & held_out for text in table.texts)
    assert not set(requests.training.texts) & set(requests.new_wordings.texts)


def test_conversations_name_titles_that_share_rare_facts_and_never_their_own():
    items = pl.DataFrame(
        {
            "item_id": list("abcd"),
            "title": ["Heat (1995)", "Ronin, The (1998)", "Toys (1992)", "Plain (1990)"],
            "genres": [["Crime"], ["Crime"], ["Comedy"], ["Drama"]],
            "tags": [["heist", "de niro"], ["heist", "de niro", "toy"], ["toy"], []],
        }
    )
    found = [one.values["like"] for one in read_facts(items)]
    assert found == [["The Ronin"], ["Heat", "Toys"], ["The Ronin"], []]
    plain, spoken = (
        synthesise_requests(items, per_item=60, seed=0, has_conversations=has)
        for has in (False, True)
    )
    assert not any("Ronin" in text for text in plain.training.texts)
    own = [spoken.training.texts[at] for at in spoken.training.of_item[0] if at >= 0]
    assert any("The Ronin" in text for text in own)
    assert not any("heat" in words_of(text) for text in own)
    assert not set(spoken.training.texts) & set(spoken.new_wordings.texts)
    drawn = (
        synthesise_requests(items, per_item=1, seed=n, has_conversations=True) for n in range(9)
    )
    assert any("The Ronin" in text for one in drawn for text in one.new_wordings.texts)


def test_a_request_is_drawn_for_every_item_that_has_some():
    table = synthesise_requests(ITEMS, per_item=5, seed=0).training
    items = np.array([0, 1, 2, 0])
    chosen = table.choose(items, seed=0)
    assert chosen[2] == -1
    assert all(at in table.of_item[item] for item, at in zip(items, chosen, strict=True) if at >= 0)
    assert (chosen[[0, 1, 3]] >= 0).all()


def test_items_without_words_are_refused():
    with pytest.raises(SeqRecError, match="no tags, genres, people or plots"):
        synthesise_requests(pl.DataFrame({"item_id": ["1"], "title": ["One"]}), per_item=2, seed=0)
