"""Parts of a request that moved an item, against scores that are known."""

import numpy as np
import polars as pl
import pytest
import torch

from seqrec.ranking.explained import Explainer
from seqrec.ranking.explained_requests import answer_explained, describe_conditions
from seqrec.ranking.ranker import Ranker
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.served import Reading, serve_baseline
from seqrec.ranking.soft_parts import MAX_PARTS, SoftParts, split_parts
from seqrec.ranking.text_requests import TextSearch
from seqrec.search.reading import Condition, RequestReading

TEXTS = ["space ship", "toy box", "space toy", "plain", "empty"]


class Level(Ranker):
    """Scores all items alike."""

    name = "level"
    num_items = len(TEXTS)

    def score_tiles(self, histories):
        return lambda start, stop: torch.zeros(len(histories), stop - start)


def encode(texts):
    """The words space, toy and plain as dimensions; each text has length 1 at most."""
    words = ("space", "toy", "plain")
    vectors = np.array([[word in text for word in words] for text in texts], dtype=np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)


@pytest.fixture
def search():
    items = pl.DataFrame({"item_id": list("abcde"), "title": [f"Name {n}" for n in range(5)]})
    return TextSearch(serve_baseline(Level(), items), encode, TEXTS, weight=10.0)


def measure(search, text):
    read = search.read(RequestReading(text=text))
    return SoftParts(search, read, ["e"], np.arange(5), Reading({}, False))


def test_each_item_is_moved_by_the_words_that_its_text_holds(search):
    """An item of space alone loses by leaving out space, and gains by leaving out toy."""
    soft = measure(search, "space with a toy")
    assert soft.parts == ["space", "toy"]
    assert soft.list_moving(0) == ['"space"']
    assert soft.list_moving(1) == ['"toy"']
    assert soft.list_moving(3) == soft.list_moving(4) == []
    half = 10 / np.sqrt(2)
    whole = np.array([half, half, 10, 0, 0])
    without_toy = np.array([10, 0, half, 0, 0])
    expected = (whole - without_toy) - (whole - without_toy).mean()
    assert soft._effects[1] == pytest.approx(expected, abs=1e-5)


def test_words_that_only_count_together_are_named_together(search):
    soft = measure(search, "toy space space")
    assert soft.parts == ["toy", "space", "space"]
    assert soft.list_moving(0) == ['"toy space space"']  # another space is left in any case


def test_one_part_is_compared_with_no_words(search):
    soft = measure(search, "toy")
    assert soft.list_moving(1) == ['"toy"'] and soft.list_moving(0) == []
    assert measure(search, "").list_moving(1) == []


def test_an_explained_list_names_the_parts(search):
    answer = answer_explained(
        search, "space with a toy", ListRequest(["e"], 2), Explainer(search.served)
    )
    wishes = {row["item_id"]: row["explanation"]["wishes"] for row in answer["recommendations"]}
    assert wishes == {"c": ['"space"', '"toy"'], "a": ['"space"']}


def test_a_long_text_has_parts_of_several_words():
    words = [f"word{number}" for number in range(20)]
    parts = split_parts("the " + " and ".join(words))
    assert len(parts) <= MAX_PARTS and " ".join(parts).split() == words
    assert split_parts("the and of") == []


def test_conditions_are_said_in_words():
    """Two bounds are a range; words of the request stand for their condition."""
    low, high = Condition("year", ">=", 1990), Condition("year", "<=", 1999)
    comedy = Condition("genres", "contains", "Comedy", words="funny")
    shorter = Condition("length", "<=", 90)
    for conditions, said in (
        ([comedy, low, high], ["funny", "years 1990 to 1999"]),
        ([low, comedy, high], ["years from 1990", "funny", "years up to 1999"]),
        ([high, low], ["years up to 1999", "years from 1990"]),
        ([low, shorter], ["years from 1990", "length up to 90"]),
        ([low, high._replace(is_excluded=True)], ["years from 1990", "not years up to 1999"]),
        ([low._replace(operator=">"), high], ["years above 1990", "years up to 1999"]),
        ([comedy._replace(is_excluded=True)], ["no Comedy"]),
        ([Condition("release_year", "=", 1990)], ["release year 1990"]),
        ([Condition("release_year", ">=", 1990)], ["release years from 1990"]),
    ):
        assert describe_conditions(conditions) == said
