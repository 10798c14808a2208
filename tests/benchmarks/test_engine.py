"""The benchmarks' own arithmetic, and the recipes that they train."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.engine.ratings import MAX_RATED, MIN_RATED, activity, ratings_of
from benchmarks.engine.rows import at_least, at_most, row, spread
from seqrec.config.load import load_recipe

ROOT = Path(__file__).parents[2]


RECIPES = [f for f in sorted(ROOT.glob("benchmarks/*/*.yaml")) if f.parent.name != "quality"]


@pytest.mark.parametrize("file", RECIPES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_recipe_of_the_benchmarks_is_one(file):
    load_recipe(file)


def test_a_target_judges_the_ratio_where_there_is_one():
    plain = row("a", "work", [3.0, 1.0, 2.0], "s", target=at_most(2))
    assert plain.value == 2 and plain.is_met and plain.spread == 1
    assert row("a", "work", [2.0], "s", ratio=4.9, target=at_least(5)).is_met is False
    assert row("a", "work", [2.0], "s", ratio=5.0, target=at_least(5)).is_met is True
    assert spread([1.0]) is None


def test_simulated_ratings_have_the_asked_number_and_no_title_twice(generator):
    counts = activity(20_000, generator)
    assert counts.sum() == 20_000
    assert counts.min() >= MIN_RATED and counts.max() <= MAX_RATED
    cumulative = np.cumsum(np.arange(1.0, 60_001) ** -1.2)
    table = ratings_of(counts, cumulative / cumulative[-1], np.arange(60_000), generator)
    assert len(table) == 20_000
    assert table.select("userId", "movieId").is_duplicated().sum() == 0
    assert table["userId"].value_counts().sort("userId")["count"].to_list() == counts.tolist()
