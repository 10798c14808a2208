"""Ray's actors against the same roles in this process: the same weights, also after a death."""

import os
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seqrec.errors import SeqRecError
from seqrec.rl import ray_executor
from seqrec.rl.autoregressive import AutoregressiveSampler
from seqrec.rl.executors import InProcess
from seqrec.rl.ray_executor import OnRay, _Actor
from seqrec.rl.worker import RolloutWorker, Scorer
from tests.rl.test_controller import Worth, controller, prompts_for, small_policy_model


class Broken:
    name = "mine"

    def score(self, prompts, slates):
        raise SeqRecError("reward mine: raised ZeroDivisionError")


@pytest.fixture(scope="module")
def on_ray():
    torch.set_num_threads(1)
    sampler = controller_sampler()
    executor = OnRay(
        lambda number: RolloutWorker(small_policy_model(), sampler, seed=0, number=number),
        2,
        lambda: Scorer(Worth()),
        num_threads=1,
    )
    yield executor
    executor.close()


@pytest.fixture
def actor_class(on_ray):
    """Ray's actor, sent by value: a process that only raises or dies starts without seqrec."""
    pickle = on_ray._ray.cloudpickle
    pickle.register_pickle_by_value(ray_executor)
    yield on_ray._ray.remote(num_cpus=0)(_Actor)
    pickle.unregister_pickle_by_value(ray_executor)


def drawn(executor, prompts, update):
    return executor.collect(executor.start(prompts, update))


def controller_sampler():
    from tests.rl.test_controller import SAMPLERS

    return SAMPLERS[AutoregressiveSampler]


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
    prompts = prompts_for(5)
    on_ray.load(run.learner.weights(), 3)
    wanted = drawn(on_ray, prompts, 7)
    victim = on_ray.get_process_id(1)
    started = on_ray.start(prompts, 7)
    os.kill(victim, signal.SIGKILL)
    found = on_ray.collect(started)
    assert on_ray.get_process_id(1) != victim
    assert np.array_equal(found.items, wanted.items) and found.version == 3
    assert np.array_equal(found.prompts.users, prompts.users)
    np.testing.assert_array_equal(found.log_prob, wanted.log_prob)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Scorer(Broken()), "reward mine: raised ZeroDivisionError"),
        (lambda: Scorer(None), "reward: raised AttributeError"),
        (lambda: os._exit(1), "reward: died 3 times in a row: "),
        (lambda: 1 / 0, "reward: died 3 times in a row: .*ZeroDivisionError"),
    ],
)
def test_what_a_role_raises_or_dies_of_is_said_here(
    on_ray, actor_class, monkeypatch, make, message
):
    rollouts = drawn(on_ray, prompts_for(5), 0)
    monkeypatch.setattr(on_ray, "_start_scorer", lambda: actor_class.remote(make, (), 1))
    monkeypatch.setattr(on_ray, "_scorer", on_ray._start_scorer())
    with pytest.raises(SeqRecError, match=message):
        on_ray.score(rollouts)


@pytest.mark.slow
def test_a_worker_that_dies_with_two_batches_in_hand_is_replaced_once(on_ray):
    wanted = [drawn(on_ray, prompts_for(5), update) for update in (1, 2)]
    victim = on_ray.get_process_id(0)
    os.kill(victim, signal.SIGSTOP)  # so that it dies before it answers
    started = [on_ray.start(prompts_for(5), update) for update in (1, 2)]
    os.kill(victim, signal.SIGKILL)
    found = [on_ray.collect(started[0])]
    replaced = on_ray.get_process_id(0)
    found.append(on_ray.collect(started[1]))
    assert victim != on_ray.get_process_id(0) == replaced
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(one.log_prob, other.log_prob)


@pytest.mark.slow
def test_a_cluster_without_room_is_not_waited_for(on_ray, monkeypatch):
    monkeypatch.setattr("seqrec.rl.ray_executor.START_SECONDS", 1.0)
    with pytest.raises(SeqRecError, match="3 of 3 actors did not start .* 3 CPUs together"):
        OnRay(on_ray._start_worker, 2, lambda: Scorer(Worth()), num_threads=1)


def test_ray_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SeqRecError, match="Ray is not installed"):
        OnRay(None, 2, None, num_threads=1)


def test_a_cluster_that_is_not_there_is_named(monkeypatch):
    def refuse(**_):
        raise ConnectionError("Could not find any running Ray instance.\nMore lines")

    there = SimpleNamespace(is_initialized=lambda: False, init=refuse)
    monkeypatch.setitem(sys.modules, "ray", there)
    wanted = "Ray does not start: ConnectionError: Could not find any running Ray instance.$"
    with pytest.raises(SeqRecError, match=wanted):
        OnRay(None, 2, None, num_threads=1, address="nowhere:1")
