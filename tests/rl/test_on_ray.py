"""Ray's actors against the same roles in this process: the same weights, also after a death."""

import os
import signal

import numpy as np
import pytest
import torch

from seqrec.errors import SeqRecError
from seqrec.rl.executors import InProcess
from seqrec.rl.on_ray import OnRay
from seqrec.rl.roles import RolloutWorker, Scorer
from tests.rl.test_controller import Worth, controller, small_policy_model, tasks_of


class Broken:
    name = "mine"

    def score(self, tasks, slates):
        raise SeqRecError("reward mine: raised ZeroDivisionError")


@pytest.fixture(scope="module")
def on_ray():
    torch.set_num_threads(1)
    asking = controller_asking()
    executor = OnRay(
        lambda number: RolloutWorker(small_policy_model(), asking, seed=0, number=number),
        2,
        lambda: Scorer(Worth()),
        num_threads=1,
    )
    yield executor
    executor.close()


def drawn(executor, tasks, update):
    return executor.collect(executor.start(tasks, update))


def controller_asking():
    from tests.rl.test_controller import ASKING

    return ASKING


@pytest.mark.slow
def test_twenty_updates_give_the_weights_of_one_process(on_ray, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    here = controller(tmp_path / "here", num_updates=20, check_every=10)
    there = controller(tmp_path / "there", num_updates=20, check_every=10)
    assert isinstance(here.executor, InProcess)
    there.executor = on_ray
    assert here.run() == there.run()
    for key, value in here.learner.weights().items():
        assert torch.equal(value, there.learner.weights()[key]), key


@pytest.mark.slow
def test_a_worker_killed_with_rollouts_in_hand_is_replaced_and_its_work_done_once(on_ray, tmp_path):
    run = controller(tmp_path)
    tasks = tasks_of(5)
    on_ray.load(run.learner.weights(), 3)
    wanted = drawn(on_ray, tasks, 7)
    victim = on_ray.process_of(1)
    started = on_ray.start(tasks, 7)
    os.kill(victim, signal.SIGKILL)
    found = on_ray.collect(started)
    assert on_ray.process_of(1) != victim
    assert np.array_equal(found.items, wanted.items) and found.version == 3
    assert np.array_equal(found.tasks.users, tasks.users)
    np.testing.assert_array_equal(found.log_prob, wanted.log_prob)


@pytest.mark.slow
def test_what_a_role_raises_is_said_here(on_ray, monkeypatch):
    monkeypatch.setattr(on_ray, "_start_scorer", on_ray._start_scorer)
    scorer = on_ray._scorer
    actor = on_ray._ray.remote(num_cpus=0)(type(on_ray).__init__.__globals__["_Actor"])
    on_ray._scorer = actor.remote(lambda: Scorer(Broken()), (), 1)
    run_rollouts = drawn(on_ray, tasks_of(5), 0)
    with pytest.raises(SeqRecError, match="reward mine: raised ZeroDivisionError"):
        on_ray.score(run_rollouts)
    on_ray._scorer = scorer
