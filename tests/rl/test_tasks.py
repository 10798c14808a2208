"""Tasks know the training part alone, and are the same whenever they are asked for."""

import numpy as np
import pytest

from seqrec.errors import SeqRecError
from seqrec.rl.tasks import TaskSource
from tests.baselines.conftest import histories_of

LISTS = [[10 * user + n for n in range(6)] for user in range(20)]


def source(**changes):
    settings = {"num_tasks": 8, "held_out_share": 0.25, "max_later": 2, "seed": 0}
    histories = histories_of(LISTS, num_held_out=2)
    return TaskSource(histories, **(settings | changes))


def test_a_task_is_a_prefix_and_what_follows_it_in_training():
    for update in range(30):
        tasks = source()(update)
        assert len(tasks) == 8
        for user, history, later in zip(tasks.users, tasks.histories, tasks.later, strict=True):
            whole = LISTS[user][:4]
            assert history.tolist() == whole[: len(history)] and len(history) >= 1
            assert later.tolist() == whole[len(history) :][:2] and len(later) >= 1


def test_held_out_users_are_never_asked():
    tasks = source()
    asked = np.concatenate([tasks(update).users for update in range(50)])
    assert set(asked) == set(tasks.users) and not set(asked) & set(tasks.held_users)
    assert len(tasks.held_users) == 5
    assert set(tasks.held(99).users) == set(tasks.held_users)


def test_the_same_update_asks_the_same_in_whatever_order():
    one, other = source(), source()
    later = [other(update) for update in (3, 0, 1)]
    for update, tasks in zip((3, 0, 1), later, strict=True):
        again = one(update)
        assert again.users.tolist() == tasks.users.tolist()
        assert [h.tolist() for h in again.histories] == [h.tolist() for h in tasks.histories]
    assert one(1).users.tolist() != one(2).users.tolist()


def test_nobody_to_ask_is_said():
    with pytest.raises(SeqRecError, match="nobody has two interactions"):
        TaskSource(
            histories_of([[1, 2, 3]], num_held_out=1),
            num_tasks=1,
            held_out_share=0.0,
            max_later=1,
            seed=0,
        )
    with pytest.raises(SeqRecError, match="leaves nobody"):
        source(held_out_share=1.0)
