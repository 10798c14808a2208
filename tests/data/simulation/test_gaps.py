"""The gap world: simulated logs follow its probabilities."""

import numpy as np
import polars as pl
import pytest

from seqrec.data.simulation.gaps import FAR_SECONDS, NEAR_SECONDS, gap_world


def test_the_gap_between_the_last_two_decides_which_of_them_is_gone_on_with():
    world = gap_world(num_items=6, seed=1)
    log = world.simulate(4_000, 4, seed=2)
    items = log["item_id"].str.slice(1).cast(pl.Int64).to_numpy().reshape(-1, 4)
    gaps = np.diff(log["timestamp"].to_numpy().reshape(-1, 4), axis=1)
    is_near = gaps < NEAR_SECONDS[1]
    assert (is_near | (gaps >= FAR_SECONDS[0])).all() and abs(is_near.mean() - 0.5) < 0.03
    pairs, counts = np.unique(items[:, :2], axis=0, return_counts=True)
    first, second = pairs[counts.argmax()].tolist()
    for near in (True, False):
        starts = (items[:, :2] == [first, second]).all(axis=1) & (is_near[:, 0] == near)
        after = items[starts, 2]
        probabilities = world.next_probabilities([first, second], near)
        alone = world.world.next_probabilities([second])
        assert probabilities.sum() == pytest.approx(1) and not probabilities[[first, second]].any()
        frequencies = np.bincount(after, minlength=6) / len(after)
        assert np.abs(frequencies - probabilities).max() < 4 * np.sqrt(0.25 / len(after))
        if not near:
            alone[first] = 0.0
            np.testing.assert_allclose(probabilities, alone / alone.sum())


def test_who_reads_no_times_expects_less():
    world = gap_world(num_items=30)
    histories, are_near = [[3, 8, 1], [4, 2], [7]], [True, False, False]
    best, blind = (
        world.best_recall(histories, are_near, 1),
        world.best_recall_from_items(histories, 1),
    )
    tops = [world.next_probabilities(*pair).max() for pair in zip(histories, are_near, strict=True)]
    assert best == pytest.approx(np.mean(tops)) and blind < best
    assert world.best_recall_from_items(histories, 30) == pytest.approx(1)
