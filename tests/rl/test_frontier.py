"""The frontier of rewards: no distribution of the same KL earns more."""

import numpy as np
import pytest
import torch

from seqrec.models import SeqRecForNextItem
from seqrec.rl.frontier import FrontierPoint, compute_frontier, share_of_frontier
from seqrec.rl.prompts import Prompts
from seqrec.rl.rewards import Freshness, Mixture
from tests.conftest import small_config

SLATE = 3


@pytest.fixture
def model(generator):
    torch.manual_seed(3)
    model = SeqRecForNextItem(small_config()).eval()
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(20)
    return model


@pytest.fixture
def reward(model, generator):
    return Mixture([(2.0, Freshness(generator.normal(size=model.config.num_items)))])


@pytest.fixture
def prompts(model, generator):
    histories = [generator.permutation(model.config.num_items)[:n] for n in (2, 5, 9, 4)]
    later = [generator.integers(0, model.config.num_items, 2) for _ in histories]
    return Prompts(np.arange(4), histories, later)


def reference(model, prompts):
    """The distribution after every history without its items, from the model's own forward."""
    rows = []
    for history in prompts.histories:
        tokens = torch.from_numpy(history)[None] + model.config.first_item_token
        logits = model(tokens).logits[0].detach().double()
        logits[torch.from_numpy(history)] = -torch.inf
        rows.append(logits.softmax(dim=0))
    return torch.stack(rows)


def test_the_first_point_is_the_reference(model, reward, prompts):
    first = compute_frontier(model, reward, prompts, slate_size=SLATE, max_length=20)[0]
    prob = reference(model, prompts)
    slates = np.tile(np.arange(prob.shape[1])[:, None], (4, 1, 1))
    rewards = torch.from_numpy(reward.score(prompts, slates))
    top = prob.topk(10, dim=1).indices
    hits = [int(later[0]) in top[row].tolist() for row, later in enumerate(prompts.later)]
    assert first.beta is None and first.kl_nats == pytest.approx(0, abs=1e-6)
    assert first.sampled_reward == pytest.approx(
        float((prob * rewards).sum(dim=1).mean()), abs=1e-5
    )
    best = rewards.gather(1, top[:, :SLATE]).mean()
    assert first.top_reward == pytest.approx(float(best), abs=1e-6)
    assert first.recall == np.mean(hits)


def test_no_other_distribution_of_the_same_divergence_earns_more(model, reward, prompts):
    """Gradient ascent on the reward, at the price of a nat that a point has, ends at the point."""
    one = Prompts(prompts.users[:1], prompts.histories[:1], prompts.later[:1])
    points = compute_frontier(model, reward, one, slate_size=SLATE, max_length=20)
    prob = reference(model, one)[0]
    slates = np.arange(len(prob))[None, :, None]
    rewards = torch.from_numpy(reward.score(one, slates))[0]
    allowed = prob > 0
    for point in points[3:8:2]:
        logits = prob[allowed].log().clone().requires_grad_()
        optimizer = torch.optim.Adam([logits], lr=0.05)
        for _ in range(400):
            tried = logits.log_softmax(dim=0)
            kl = (tried.exp() * (tried - prob[allowed].log())).sum()
            gain = (tried.exp() * rewards[allowed]).sum()
            optimizer.zero_grad()
            (point.beta * kl - gain).backward()
            optimizer.step()
        value = point.sampled_reward - point.beta * point.kl_nats
        found = float((gain - point.beta * kl).detach())
        assert value - 1e-2 < found < value + 1e-6


def test_more_divergence_buys_more_reward(model, reward, prompts):
    points = compute_frontier(model, reward, prompts, slate_size=SLATE, max_length=20)
    assert all(a.kl_nats < b.kl_nats for a, b in zip(points, points[1:], strict=False))
    assert all(
        a.sampled_reward < b.sampled_reward for a, b in zip(points, points[1:], strict=False)
    )
    assert points[-1].top_reward > points[0].top_reward


def test_a_share_is_of_the_gain_at_the_same_divergence():
    points = [FrontierPoint(None, 0.0, 0, 0.5, 0), FrontierPoint(1.0, 0.2, 0, 0.7, 0)]
    assert share_of_frontier(points, 0.55, 0.1) == pytest.approx(0.5)
    assert share_of_frontier(points, 0.6, 9.0) == pytest.approx(0.5)
    assert share_of_frontier([points[0], points[0]], 0.6, 0.1) is None
    assert share_of_frontier(points, 0.6, 1e-5) is None
