"""The loop in a world whose best policy is known, under guards that bite, cut and gone on with."""

from functools import partial

import numpy as np
import pytest
import torch

from seqrec.errors import SeqRecError
from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.losses.policy import (
    centred_advantages,
    clipped_policy_gradient,
    expected_reward,
    leave_one_out_advantages,
    policy_gradient,
    share_clipped,
    standardized_advantages,
)
from seqrec.models import SeqRecForNextItem
from seqrec.rl.autoregressive import AutoregressiveSampler
from seqrec.rl.controller import Controller
from seqrec.rl.executors import InProcess, split_prompts
from seqrec.rl.guard import Guard, KLCoefficient
from seqrec.rl.learner import Algorithm, Learner, Reference
from seqrec.rl.most_probable import MostProbableSampler
from seqrec.rl.plackett_luce import PlackettLuceSampler
from seqrec.rl.prompts import HeldOutPrompts, Prompts
from seqrec.rl.stage_log import EventLog, read_events
from seqrec.rl.worker import RolloutWorker, Scorer
from tests.conftest import small_config

NUM_ITEMS = 30
WORTH = np.random.default_rng(3).random(NUM_ITEMS)


class Worth:
    """A title is worth a fixed number: the best slates hold the unseen titles of most worth."""

    name = "worth"

    def score(self, prompts, slates):
        return WORTH[slates].mean(axis=2)


def prompts_for(seed, num_prompts=16):
    rng = np.random.default_rng(seed)
    histories = [rng.choice(NUM_ITEMS, size=4, replace=False) for _ in range(num_prompts)]
    return Prompts(np.arange(num_prompts), histories, [np.array([0])] * num_prompts)


def best_reward(prompts, slate_size):
    found = []
    for history in prompts.histories:
        unseen = np.setdiff1d(np.arange(NUM_ITEMS), history)
        found.append(np.sort(WORTH[unseen])[-slate_size:].mean())
    return np.mean(found)


def loss_rloo(log_prob, old_log_prob, advantages):
    return policy_gradient(log_prob, advantages)


def loss_expected(log_prob, old_log_prob, advantages):
    return expected_reward(log_prob, advantages)


CLIPPED = partial(clipped_policy_gradient, clip_low=0.2, clip_high=0.2)
SHARE = partial(share_clipped, clip_low=0.2, clip_high=0.2)
ALGORITHMS = {
    "rloo": Algorithm(leave_one_out_advantages, loss_rloo),
    "grpo": Algorithm(standardized_advantages, CLIPPED, 1, SHARE),
    "dr_grpo": Algorithm(centred_advantages, CLIPPED),
    "grpo, two passes": Algorithm(standardized_advantages, CLIPPED, 2),
}
EXPECTED = Algorithm(centred_advantages, loss_expected)
SIZES = {"num_slates": 8, "slate_size": 2, "temperature": 1.0, "max_length": 10}
SAMPLERS = {kind: kind(**SIZES) for kind in (PlackettLuceSampler, AutoregressiveSampler)}


def small_policy_model():
    torch.manual_seed(0)
    return SeqRecForNextItem(small_config("sasrec", num_items=NUM_ITEMS, padded_num_items=64))


def controller(
    folder,
    algorithm="grpo",
    kind=AutoregressiveSampler,
    num_updates=60,
    check_every=20,
    max_kl_nats=100.0,
    learning_rate=1e-2,
    reward=None,
    metric=lambda: 1.0,
    num_workers=2,
    max_staleness=0,
    say=lambda line: None,
    model=small_policy_model,
):
    sampler = kind(**SIZES)
    policy = model()
    learner = Learner(
        policy,
        torch.optim.AdamW(policy.parameters(), lr=learning_rate),
        Reference(model(), sampler),
        sampler,
        algorithm=EXPECTED if algorithm == "expected" else ALGORITHMS[algorithm],
        entropy_bonus=0.0,
        gradient_clip=1.0,
        dtype=torch.float32,
    )
    workers = [RolloutWorker(model(), sampler, seed=0, number=n) for n in range(num_workers)]
    return Controller(
        source=lambda update: prompts_for(1000 + update),
        held_out=HeldOutPrompts(prompts_for(1, 40), metric),
        executor=InProcess(workers, Scorer(reward or Worth()), in_background=max_staleness > 0),
        learner=learner,
        guard=Guard(
            max_kl_nats=max_kl_nats,
            tolerance=0.05,
            metric="ndcg@10",
            max_rollbacks=2,
        ),
        kl_coef=KLCoefficient(0.0, None),
        log=EventLog(folder / "events.jsonl"),
        folder=folder,
        num_updates=num_updates,
        check_every=check_every,
        max_staleness=max_staleness,
        say=say,
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_best_policy_is_reached(tmp_path, algorithm, kind):
    outcome = controller(tmp_path, algorithm, kind).run()
    assert outcome.reward >= 0.95 * best_reward(prompts_for(1, 40), 2)
    assert outcome.reason == "all updates done" and not outcome.rollbacks


def test_the_best_policy_is_reached_without_draws(tmp_path):
    outcome = controller(tmp_path, "expected", MostProbableSampler).run()
    assert outcome.reward >= 0.95 * best_reward(prompts_for(1, 40), 2)


def imitating_model():
    """Of people who watch the titles in turn, whatever these are worth."""
    model = small_policy_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    items = (torch.arange(NUM_ITEMS)[:, None] + torch.arange(6)) % NUM_ITEMS
    for _ in range(60):
        hidden = model.hidden_states(items[:, :-1] + 2, torch.ones_like(items[:, :-1]))
        labels = items[:, 1:].flatten()
        loss = catalog_cross_entropy(hidden.flatten(0, 1), model.item_weight(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1
    return model.eval()


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_best_policy_is_reached_from_one_that_imitates(tmp_path, kind):
    run = controller(tmp_path, "dr_grpo", kind, num_updates=200, model=imitating_model)
    outcome, best = run.run(), best_reward(prompts_for(1, 40), 2)
    first = next(e for e in read_events(tmp_path / "events.jsonl") if e["stage"] == "guard")
    assert first["reward"] < 0.8 * best
    assert outcome.reward >= 0.95 * best


def test_good_weights_come_back_with_their_moments_and_the_rate_is_halved_once(tmp_path):
    run = controller(tmp_path, num_updates=4, check_every=2)
    run.run()
    learner, good = run.learner, run.good["learner"]
    kept = [moments["exp_avg"].clone() for moments in good["optimizer"]["state"].values()]
    for factor in (0.5, 0.25):
        rollouts = run.executor.collect(run.executor.start(prompts_for(0), 0))
        learner.update(rollouts, run.executor.score(rollouts), 0.0)
        version = learner.version
        learner.roll_back(good, 0.5)
        state = learner.state_dict()
        assert learner.version == version
        assert state["optimizer"]["param_groups"][0]["lr"] == pytest.approx(factor * 1e-2)
        for before, moments in zip(kept, state["optimizer"]["state"].values(), strict=True):
            assert torch.equal(before, moments["exp_avg"])
        good = state  # good again under the lower rate, which is not lowered twice for it
    for key, value in run.good["learner"]["model"].items():
        assert torch.equal(value, learner.weights()[key]), key


def test_time_between_a_cut_and_going_on_is_not_the_runs(tmp_path):
    run = controller(tmp_path, num_updates=2, check_every=1)
    run.run()
    state = torch.load(tmp_path / "controller.pt", weights_only=True)
    state["log"]["seconds"] = 1000.0
    torch.save(state, tmp_path / "controller.pt")
    again = controller(tmp_path, num_updates=3, check_every=1)
    again.resume()
    again.run()
    later = [e for e in read_events(tmp_path / "events.jsonl") if e["start"] > 999]
    assert later and min(event["start"] for event in later) < 1001


def test_a_run_that_was_cut_goes_on_exactly(tmp_path):
    whole = controller(tmp_path, num_updates=8, check_every=2)
    outcome = whole.run()
    (tmp_path / "cut").mkdir()
    cut = controller(tmp_path / "cut", num_updates=4, check_every=2)
    cut.run()
    again = controller(tmp_path / "cut", num_updates=8, check_every=2)
    again.resume()
    assert again.update == 4
    assert again.run() == outcome
    for key, value in whole.learner.weights().items():
        assert torch.equal(value, again.learner.weights()[key]), key


@pytest.mark.parametrize("max_staleness", [0, 2])
def test_a_run_that_is_told_to_end_is_saved_at_its_update_and_goes_on_exactly(
    tmp_path, max_staleness
):
    """Between two checks of the guard, with batches that were sampled ahead."""
    settings = {"num_updates": 8, "check_every": 4, "max_staleness": max_staleness}
    whole = controller(tmp_path, **settings)
    outcome = whole.run()
    whole.executor.close()
    (tmp_path / "cut").mkdir()
    for last in (2, 5, 8):
        cut = controller(tmp_path / "cut", **settings)
        cut.is_ending = lambda cut=cut, last=last: cut.update == last
        with pytest.raises(KeyboardInterrupt):
            cut.run()
        cut.executor.close()
        assert cut.update == last
    again = controller(tmp_path / "cut", **settings)
    assert again.run() == outcome
    again.executor.close()
    for key, value in whole.learner.weights().items():
        assert torch.equal(value, again.learner.weights()[key]), key
    logs = [read_events(folder / "events.jsonl") for folder in (tmp_path, tmp_path / "cut")]
    times = ("start", "end")
    plain, resumed = ([{k: e[k] for k in e if k not in times} for e in log] for log in logs)
    assert [e for e in resumed if e["stage"] != "publish"] == [
        e for e in plain if e["stage"] != "publish"
    ]


def test_the_budget_stops_what_drifts_and_good_weights_are_kept(tmp_path):
    lines = []
    run = controller(tmp_path, max_kl_nats=0.05, check_every=5, say=lines.append)
    outcome = run.run()
    assert outcome.kl_nats <= 0.05 and outcome.rollbacks
    assert "above the limit of 0.05" in outcome.rollbacks[0]
    assert any("rolled back to good weights" in line for line in lines)
    again = run.learner.measure_kl(
        run.executor.collect(run.executor.start(run.held_out.prompts, 0))
    )
    assert again <= 0.06
    kinds = {event["stage"] for event in read_events(tmp_path / "events.jsonl")}
    assert kinds == {"publish", "generate", "score", "update", "guard", "roll back"}


def test_a_reward_that_is_hacked_is_stopped_by_the_metric_that_is_not_it(tmp_path):
    """The reward pays for one odd title; the metric is how often the odd one is not on top."""

    class Odd:
        name = "odd"

        def score(self, prompts, slates):
            return (slates == 7).any(axis=2).astype(float)

    run = controller(tmp_path, reward=Odd(), check_every=5)
    run.held_out.metric = lambda: (
        1 - float((run.executor.best(run.held_out.prompts).items == 7).any(axis=2).mean())
    )
    outcome = run.run()
    assert outcome.reason.startswith("stopped: ndcg@10 fell to")
    assert outcome.metric >= 0.95 * run.guard.reference_metric and len(outcome.rollbacks) == 3


def test_the_mix_of_genres_is_watched_and_a_run_that_goes_on_knows_the_first(tmp_path):
    """Two genres, the odd and the even titles; the reward pays for even ones alone."""

    class Even:
        name = "even"

        def score(self, prompts, slates):
            return (slates % 2 == 0).mean(axis=2)

    genres = np.stack([np.arange(NUM_ITEMS) % 2 == 0, np.arange(NUM_ITEMS) % 2 == 1], axis=1)
    lines = []
    run = controller(tmp_path, reward=Even(), say=lines.append)
    run.held_out.genres = genres
    first = run.executor.best(run.held_out.prompts).items % 2 == 0
    run.run()
    last = run.executor.best(run.held_out.prompts).items % 2 == 0
    shifts = [e["genre_shift"] for e in read_events(tmp_path / "events.jsonl") if "reason" in e]
    assert shifts[0] == 0 and shifts[-1] == pytest.approx(abs(last.mean() - first.mean()))
    assert shifts[-1] > 0.1 and f"genre shift {shifts[-1]:.1%}" in lines[-1]
    again = controller(tmp_path)
    again.resume()
    assert again.first_mix == pytest.approx([first.mean(), 1 - first.mean()])


def test_a_policy_that_is_no_good_from_the_start_is_refused(tmp_path):
    with pytest.raises(SeqRecError, match=r"fails the guard before training: ndcg@10 fell to nan"):
        controller(tmp_path, metric=lambda: float("nan")).run()


def test_rewards_that_all_agree_are_said_to_teach_nothing(tmp_path):
    class Flat:
        name = "flat"

        def score(self, prompts, slates):
            return np.ones(slates.shape[:2])

    lines = []
    outcome = controller(tmp_path, reward=Flat(), num_updates=1, say=lines.append).run()
    assert outcome.kl_nats == pytest.approx(0, abs=1e-6)
    assert any("nothing is learned" in line for line in lines)
    assert "entropy 3." in lines[-1] and "reward std 0.0000, 0% of groups" in lines[-1]


def test_rollouts_that_are_behind_still_teach(tmp_path):
    run = controller(tmp_path, num_updates=80, max_staleness=2)
    outcome = run.run()
    run.executor.close()
    assert outcome.reward >= 0.95 * best_reward(prompts_for(1, 40), 2)
    drawn = [event for event in read_events(tmp_path / "events.jsonl") if "staleness" in event]
    assert {event["staleness"] for event in drawn} == {0, 1, 2}
    assert sorted({event["update"] for event in drawn}) == list(range(80))


def test_tasks_are_split_without_a_gap_or_an_empty_part():
    assert split_prompts(5, 2) == [slice(0, 2), slice(2, 5)]
    assert split_prompts(1, 3) == [slice(0, 1)]
