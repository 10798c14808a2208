"""The benchmarks' own arithmetic, and the recipes that they train."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.distillation import __main__ as distillation
from benchmarks.distillation import students
from benchmarks.engine import __main__ as engine
from benchmarks.engine import peers
from benchmarks.engine.page import TITLES
from benchmarks.engine.ratings import MAX_RATED, MIN_RATED, activity, ratings_of
from benchmarks.engine.rows import at_least, at_most, row, spread
from benchmarks.events.tables import TABLES
from benchmarks.language import __main__ as language
from benchmarks.preference import __main__ as preference
from benchmarks.preference import later
from benchmarks.preference.later import RECALL, Judged, by_seed, mean_of, verdicts
from benchmarks.quality import __main__ as quality
from benchmarks.reinforcement import __main__ as reinforcement
from benchmarks.search import __main__ as search
from benchmarks.serving import __main__ as serving
from benchmarks.stores import __main__ as stores
from seqrec.config.load import load_recipe
from seqrec.evaluation.significance import holm, paired_randomization

ROOT = Path(__file__).parents[2]


RECIPES = [f for f in sorted(ROOT.glob("benchmarks/*/*.yaml")) if f.parent.name != "quality"]


@pytest.mark.parametrize("file", RECIPES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_recipe_of_the_benchmarks_is_one(file):
    load_recipe(file)


def test_every_measurement_has_a_title_on_the_page():
    names = {*quality.NAMES, *preference.NAMES, *distillation.NAMES, *TABLES, "wanted"}
    names |= {*language.NAMES, *serving.NAMES, *stores.NAMES, *search.NAMES}
    names |= {*reinforcement.NAMES, *engine.NAMES, *peers.MEASUREMENTS}
    assert names == {*TITLES}


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


def test_what_became_of_recommended_titles_is_counted_by_hand():
    """User 0 liked titles at ranks 2 and 40 and disliked one at 5; user 1 watched one at 1."""
    found = pl.DataFrame(
        {"user": [0, 0, 0, 1], "rating": [5.0, 4.0, 1.0, 3.0], "rank": [2, 40, 5, 1]}
    )
    judged = Judged(later.per_user(found, 2), *later.by_depth(found, 2))
    assert judged.mean("recall@10 on liked") == 0.5
    assert judged.mean(later.LIKED_HITS) == pytest.approx((1 / 2 + 0) / 2)
    assert judged.mean("lists with a disliked title") == 1
    gain = (1 / np.log2(3)) / (1 + 1 / np.log2(3))
    assert judged.mean("ndcg@10 on liked") == pytest.approx(gain)
    assert judged.liked[[0, 1, 38, 39], 0].tolist() == [0, 0.5, 0.5, 1]
    assert np.isnan(judged.liked[:, 1]).all()
    assert judged.disliked[[3, 4], 0].tolist() == [0, 1]
    assert judged.disliked_at_recall(0.25)[0] == 0
    assert judged.disliked_at_recall(0.75)[0] == 1


def test_a_teacher_is_worth_it_by_its_own_comparison_with_the_untaught_student():
    means = {"live": 0.2, "kept": 0.198, "sure": 0.19, "plain": 0.18, "teacher": 0.201}

    def against(other, **more):
        fields = {"interval": [0.0, 0.004], "p_value": 0.5, "is_significant": False}
        return {"other": other, "metric": students.METRIC, **fields, **more}

    result = {
        "rows": [{"system": name, students.METRIC: mean} for name, mean in means.items()],
        "comparisons": [against(name) for name in means if name != "live"],
    }
    worth = against("plain", p_value=0.001, is_significant=True)
    rows = {row.work: row for row in students.verdicts("data", result, worth, *means)}
    found = rows["data, ndcg@10: teacher over plain"]
    assert found.note == "p = 0.0010, significant" and found.is_met
    assert rows["data, ndcg@10: sure over live"].value == 0.95
    kept = rows["data, ndcg@10: kept over live, lower end of the paired 95 % interval"]
    assert kept.value == 0.98 and kept.is_met


def test_a_difference_is_significant_after_holm_and_with_one_sign_in_every_seed(generator):
    """A gain, one that a seed denies, and twice one that alone would pass for a gain."""
    noise = generator.normal(0, 0.1, (3, 400))
    noise -= noise.mean(axis=1, keepdims=True)
    gains = {"clear": 0.05, "denied": np.array([[0.1], [0.1], [-0.01]]), "luck": 0.0062}
    ours = {name: 0.5 + noise + gain for name, gain in gains.items()}
    ours["luck again"] = ours["luck"]
    ours["clear"][1, :10] = np.nan
    base = np.full((3, 400), 0.5)
    said = verdicts({("ndcg", name): (values, base) for name, values in ours.items()})
    means = {name: values.mean(axis=0) for name, values in ours.items()}
    alone = [
        paired_randomization(mean[mean == mean], base[0, mean == mean], seed=0).p_value
        for mean in means.values()
    ]
    assert max(alone) < 0.05
    for line, p_value in zip(said.values(), holm(alone), strict=True):
        assert f"p = {p_value:.4f} after Holm: " in line
    verdict = [line.rpartition(": ")[2] for line in said.values()]
    assert verdict == ["significant", *["not significant"] * 3]
    assert said["ndcg", "denied"].startswith("+12.7%")


def test_recall_that_loses_little_is_not_inferior(generator):
    base = generator.uniform(0.4, 0.6, (3, 400))
    table = {(RECALL, str(share)): (base * share, base) for share in (0.98, 1.0, 0.96)}
    verdict = [line.rpartition(", ")[2] for line in verdicts(table).values()]
    assert verdict == ["non-inferior", "non-inferior", "may be inferior"]
    runs = [Judged({"a": of_seed}, of_seed, of_seed) for of_seed in base]
    assert mean_of(by_seed(runs, "a")) == pytest.approx(base.mean())
