"""Prompts know the training part alone, and are the same whenever they are asked for."""

from dataclasses import replace

import numpy as np
import pytest

from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError
from seqrec.rl.prompts import PromptSource
from tests.baselines.conftest import histories_of

LEVELS = np.random.default_rng(0).random(20)
LISTS = [[10 * user + n for n in range(6)] for user in range(20)]


def source(histories=None, **changes):
    settings = {"num_prompts": 8, "held_out_share": 0.25, "max_later": 2, "seed": 0}
    histories = histories or histories_of(LISTS, num_held_out=2)
    return PromptSource(histories, LEVELS, **(settings | changes))


def test_a_task_is_a_prefix_and_what_follows_it_in_training():
    for update in range(30):
        prompts = source()(update)
        assert len(prompts) == 8
        for user, history, later in zip(
            prompts.users, prompts.histories, prompts.later, strict=True
        ):
            whole = LISTS[user][:4]
            assert history.tolist() == whole[: len(history)] and len(history) >= 1
            assert later.tolist() == whole[len(history) :][:2] and len(later) >= 1


def test_past_ratings_are_those_of_the_history_alone():
    """Whatever was rated after the training part changes nothing."""
    histories = histories_of(LISTS, num_held_out=2)
    given = np.random.default_rng(0).integers(1, 6, len(histories.items)).astype(float)
    given[::7] = np.nan
    later = np.where(histories.split == TRAIN, given, 6 - given)
    batches = []
    for ratings in (given, later):
        rated = replace(histories, columns={"rating": ratings})
        settings = {"num_prompts": 8, "held_out_share": 0.1, "max_later": 2, "seed": 0}
        batches.append(PromptSource(rated, LEVELS, **settings)(3))
    one, other = batches
    of_item = dict(zip(histories.items.tolist(), given, strict=True))
    for history, past, again in zip(
        one.histories, one.past_ratings, other.past_ratings, strict=True
    ):
        np.testing.assert_array_equal(past, [of_item[item] for item in history.tolist()])
        np.testing.assert_array_equal(past, again)


def test_held_out_users_are_never_asked():
    prompts = source()
    asked = np.concatenate([prompts(update).users for update in range(50)])
    assert set(asked) == set(prompts.users) and not set(asked) & set(prompts.held_out_users)
    assert prompts.held_out_users.tolist() == np.flatnonzero(LEVELS < 0.25).tolist()
    assert set(prompts.held_out_users) < set(source(held_out_share=0.5).held_out_users)
    assert set(prompts.held_out(99).users) == set(prompts.held_out_users)


def test_the_same_update_asks_the_same_in_whatever_order():
    one, other = source(), source()
    later = [other(update) for update in (3, 0, 1)]
    for update, prompts in zip((3, 0, 1), later, strict=True):
        again = one(update)
        assert again.users.tolist() == prompts.users.tolist()
        assert [h.tolist() for h in again.histories] == [h.tolist() for h in prompts.histories]
    assert one(1).users.tolist() != one(2).users.tolist()


def test_nobody_to_ask_is_said():
    with pytest.raises(SeqRecError, match="no user has two interactions"):
        PromptSource(
            histories_of([[1, 2, 3]], num_held_out=1),
            np.zeros(1),
            num_prompts=1,
            held_out_share=0.0,
            max_later=1,
            seed=0,
        )
    with pytest.raises(SeqRecError, match="leaves no user to train on"):
        source(held_out_share=1.0)


def test_ratings_are_worth_their_share_of_what_the_training_part_holds():
    """A rating of 9 that was given later does not stretch the scale."""
    histories = histories_of(LISTS, num_held_out=2)
    ratings = np.where(histories.split == TRAIN, 1.0 + np.arange(len(histories.items)) % 5, 9.0)
    prompts = source(replace(histories, columns={"rating": ratings}))(0)
    assert max(worth.max() for worth in prompts.later_ratings) == 1


def test_who_has_nothing_to_cut_is_counted():
    found = source(histories_of([*LISTS[:18], [1, 2, 3], [4, 5, 6]], num_held_out=2))
    assert found.num_too_short == 2
