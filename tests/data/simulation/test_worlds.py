"""Worlds: simulated logs follow their probabilities."""

import itertools

import numpy as np
import polars as pl
import pytest

from seqrec.data.simulation.tastes import opposed_tastes
from seqrec.data.simulation.worlds import (
    World,
    first_order_world,
    second_order_world,
    unordered_world,
)

WORLDS = [first_order_world, second_order_world, unordered_world]


def histories_of(world: World, log: pl.DataFrame) -> list[list[int]]:
    number = {item_id: item for item, item_id in enumerate(world.item_ids)}
    items = log.with_columns(item=pl.col("item_id").replace_strict(number))
    return items.group_by("user_id", maintain_order=True).agg("item")["item"].to_list()


@pytest.mark.parametrize("make", WORLDS)
def test_next_items_have_the_probabilities_of_the_world(make):
    world = make(num_items=6, seed=1)
    histories = histories_of(world, world.simulate(40_000, 5, seed=2))
    for length in (0, 1, 2):
        after: dict[tuple, list[int]] = {}
        for history in histories:
            if len(history) > length:
                after.setdefault(tuple(history[:length]), []).append(history[length])
        prefix, following = max(after.items(), key=lambda entry: len(entry[1]))
        found = np.bincount(following, minlength=6) / len(following)
        probabilities = world.next_probabilities(prefix)
        assert probabilities.sum() == pytest.approx(1)
        assert np.abs(found - probabilities).max() < 5 * np.sqrt(0.25 / len(following))


@pytest.mark.parametrize("make", WORLDS)
def test_no_user_watches_an_item_twice_and_times_rise(make):
    world = make(num_items=30)
    log = world.simulate(300, 15, seed=0)
    assert log.select("user_id", "item_id").n_unique() == len(log)
    assert log["user_id"].n_unique() == 300
    assert log["timestamp"].is_sorted()
    assert log.select("user_id", "timestamp").n_unique() == len(log)
    assert abs(len(log) / 300 - 15) < 1
    assert set(log["rating"].unique()) <= {1, 2, 3, 4, 5}


def test_probabilities_of_a_world_by_hand():
    last = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0.0]])
    before = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0.0]])
    world = World(np.array([0.5, 0.25, 0.25]), (last, before), (0.4, 0.4))
    np.testing.assert_allclose(world.next_probabilities([]), [0.5, 0.25, 0.25])
    # 0.4 of the last title's kernel, 0.6 of popularity, nothing for title 0
    np.testing.assert_allclose(world.next_probabilities([0]), [0, 0.55 / 0.7, 0.15 / 0.7])
    np.testing.assert_allclose(world.next_probabilities([0, 1]), [0, 0, 1])
    np.testing.assert_allclose(world.next_probabilities([0, 1, 2]), [0, 0, 0])


@pytest.mark.parametrize("make", WORLDS)
@pytest.mark.parametrize("k", [1, 2])
def test_the_best_recall_is_that_of_the_best_list_among_all(make, k):
    world = make(num_items=6, seed=3)
    histories = [[0], [1, 4], [5, 2, 3]]
    best = [
        max(
            world.next_probabilities(history)[list(answer)].sum()
            for answer in itertools.combinations(range(6), k)
        )
        for history in histories
    ]
    assert world.best_recall(histories, k) == pytest.approx(np.mean(best))


def test_transition_counts_reach_the_optimum_of_the_first_order_only():
    best, reached = {}, {}
    for make in (first_order_world, second_order_world):
        world = make(num_items=50, seed=0)
        histories = histories_of(world, world.simulate(3000, 20, seed=1))
        counts = np.zeros((50, 50))
        for history in histories:
            np.add.at(counts, (history[:-1], history[1:]), 1)
        prefixes = [history[:10] for history in histories[:500] if len(history) > 10]
        best[make] = world.best_recall(prefixes, 1)
        chosen = [
            np.where(np.isin(range(50), past), -1, counts[past[-1]]).argmax() for past in prefixes
        ]
        reached[make] = np.mean(
            [
                world.next_probabilities(past)[item]
                for past, item in zip(prefixes, chosen, strict=True)
            ]
        )
    assert reached[first_order_world] > 0.97 * best[first_order_world]
    assert reached[second_order_world] < 0.8 * best[second_order_world]


def test_in_the_unordered_world_the_order_carries_nothing():
    world = unordered_world(num_items=20)
    one, other = world.next_probabilities([3, 7, 11]), world.next_probabilities([11, 3, 7])
    np.testing.assert_array_equal(one, other)


def test_a_seed_gives_one_log_and_another_seed_another():
    world = second_order_world(num_items=20, seed=5)
    again = second_order_world(num_items=20, seed=5)
    assert world.simulate(10, 5, seed=1).equals(again.simulate(10, 5, seed=1))
    assert not world.simulate(10, 5, seed=1).equals(world.simulate(10, 5, seed=2))


def test_items_have_distinct_ids_titles_and_genres():
    items = first_order_world(num_items=450).items()
    assert items["item_id"].to_list()[17] == "t017"
    assert items["title"].n_unique() == 450
    assert items["genres"].list.len().is_between(1, 2).all()


def test_opposed_tastes_show_in_histories_and_not_in_mean_ratings():
    world = opposed_tastes(num_items=40, seed=0)
    log = world.simulate(2000, 10, seed=1)
    pairs = zip(log["user_id"], log["item_id"], strict=True)
    is_liked = np.array([world.is_liked(*pair) for pair in pairs])
    ratings = log["rating"].to_numpy()
    assert set(ratings[is_liked]) == {4, 5} and set(ratings[~is_liked]) == {1, 2}
    assert 0.55 < is_liked.mean() < 0.7
    assert (world.likes[0] != world.likes[1]).all()
    by_item = log.group_by("item_id").agg(
        mean=pl.col("rating").mean(), of_a=pl.col("user_id").str.starts_with("a").mean()
    )
    assert by_item["mean"].std() < 0.3
    assert by_item["of_a"].min() < 0.4 < 0.6 < by_item["of_a"].max()
