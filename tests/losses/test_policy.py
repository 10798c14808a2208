"""Advantages and policy losses by hand, gradients by enumeration."""

import pytest
import torch

from seqrec.losses.policy import (
    centred_advantages,
    clipped_policy_gradient,
    expected_reward,
    is_informative,
    leave_one_out_advantages,
    policy_gradient,
    share_clipped,
    standardized_advantages,
)

REWARDS = torch.tensor([[1.0, 2.0, 3.0, 6.0], [0.5, 0.5, 0.5, 0.5]])


def test_advantages_by_hand():
    wanted = torch.tensor([1 - 11 / 3, 2 - 10 / 3, 3 - 3, 6 - 2])
    torch.testing.assert_close(leave_one_out_advantages(REWARDS)[0], wanted)
    torch.testing.assert_close(centred_advantages(REWARDS)[0], torch.tensor([-2.0, -1, 0, 3]))
    deviation = (14 / 3) ** 0.5
    wanted = torch.tensor([-2.0, -1, 0, 3]) / deviation
    torch.testing.assert_close(standardized_advantages(REWARDS)[0], wanted, rtol=1e-5, atol=1e-5)


def test_a_group_whose_rewards_agree_teaches_nothing():
    assert is_informative(REWARDS).tolist() == [True, False]
    for advantages in (leave_one_out_advantages, standardized_advantages, centred_advantages):
        assert advantages(REWARDS)[1].abs().max() == 0
        assert advantages(REWARDS[:, :1]).abs().max() == 0


def test_the_gradient_is_that_of_the_expected_reward():
    """All slates of one title, each as often as it is drawn: the exact gradient, by autograd."""
    logits = torch.randn(5, dtype=torch.float64, requires_grad=True)
    rewards = torch.randn(1, 5, dtype=torch.float64)
    probabilities = logits.softmax(0)
    (wanted,) = torch.autograd.grad((probabilities * rewards[0]).sum(), logits)
    log_prob = logits.log_softmax(0)[None, :, None]
    weighted = rewards * probabilities.detach() * 5  # the mean over slates divides by 5
    (found,) = torch.autograd.grad(policy_gradient(log_prob, weighted), logits)
    torch.testing.assert_close(-found, wanted)


def test_the_expected_reward_at_the_price_of_a_divergence_has_its_known_optimum():
    """Items of a group at ``q exp(advantage / price)``, those outside at ``q``, normalised."""
    price, group = 0.2, torch.tensor([0, 2, 3])
    reference = torch.randn(6, dtype=torch.float64).log_softmax(0)
    advantages = centred_advantages(torch.rand(1, 3, dtype=torch.float64))
    logits = reference.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.03)
    for _ in range(800):
        policy = logits.log_softmax(0)
        loss = expected_reward(policy[group][None, :, None], advantages)
        loss = loss + price * (policy.exp() * (policy - reference)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    best = reference.clone()
    best[group] += advantages[0] / price
    torch.testing.assert_close(logits.log_softmax(0).detach(), best.log_softmax(0))


def test_at_the_first_pass_clipping_changes_no_gradient():
    log_prob = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    advantages = centred_advantages(REWARDS.double())
    (wanted,) = torch.autograd.grad(policy_gradient(log_prob, advantages), log_prob)
    for is_sequence_level in (False, True):
        loss = clipped_policy_gradient(
            log_prob,
            log_prob.detach(),
            advantages,
            clip_low=0.2,
            clip_high=0.2,
            is_sequence_level=is_sequence_level,
        )
        torch.testing.assert_close(torch.autograd.grad(loss, log_prob)[0], wanted)


def test_clipping_by_hand():
    """Ratios 1.5 and .5 under bounds of .2 and .3: each is learned from only where it is far on
    the side that its advantage does not push to."""
    old = torch.zeros(1, 4, 1)
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5])
    log_prob = ratio.log()[None, :, None].requires_grad_()
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    bounds = {"clip_low": 0.2, "clip_high": 0.3}
    loss = clipped_policy_gradient(log_prob, old, advantages, **bounds)
    torch.testing.assert_close(loss, torch.tensor(-(1.3 - 1.5 + 0.5 - 0.8) / 4))
    (gradient,) = torch.autograd.grad(loss, log_prob)
    torch.testing.assert_close(gradient.flatten(), torch.tensor([0, 1.5 / 4, -0.5 / 4, 0]))
    assert share_clipped(log_prob, old, advantages, **bounds) == 0.5
    # of the whole slate: 1.5 * .5 and .9 * .9 are ratios of slates of two titles
    log_prob = torch.tensor([[[1.5, 0.5], [0.9, 0.9]]]).log()
    advantages = torch.tensor([[-1.0, -1.0]])
    old = torch.zeros(1, 2, 2)
    assert share_clipped(log_prob, old, advantages, **bounds) == 0.25
    assert share_clipped(log_prob, old, advantages, **bounds, is_sequence_level=True) == 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reward", [0.3, 1 / 3, 3.3, -100.1, 12345.678, 1e-20, 0.0])
def test_equal_rewards_have_advantages_and_gradients_of_exactly_0(reward, dtype):
    """The mean of equal numbers is a rounding away from them, which no advantage may be made of."""
    equal = torch.full((2, 8), reward, dtype=dtype)
    nearly = equal.clone()
    nearly[:, 3] = torch.nextafter(nearly[:, 3], torch.ones((), dtype=dtype) * torch.inf)
    log_prob = torch.randn(2, 8, 3, dtype=dtype, requires_grad=True)
    for rewards in (equal, nearly):
        assert not is_informative(rewards).any()
        for function in (leave_one_out_advantages, standardized_advantages, centred_advantages):
            advantages = function(rewards)
            assert (advantages == 0).all()
            (gradient,) = torch.autograd.grad(policy_gradient(log_prob, advantages), log_prob)
            assert (gradient == 0).all()


def test_small_differences_of_rewards_still_count():
    rewards = torch.tensor([[0.3, 0.3001, 0.3, 0.2999]])
    assert is_informative(rewards).all() and (centred_advantages(rewards)[0, [1, 3]] != 0).all()
    assert standardized_advantages(rewards).abs().max() > 0.5
