"""Policy optimization: advantages within a group of slates, and policy losses.

Every function takes plain tensors: ``B`` histories, ``G`` slates of each, ``K`` items of a slate.
Groups whose rewards are equal up to rounding have advantages of exactly 0.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

EPS = 1e-6
ROUNDINGS = 16
"""Rewards are equal if they differ by at most this number of roundings of the largest."""


def leave_one_out_advantages(rewards: Float[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """Each reward minus the mean of the others of its group.

    Source: Kool et al. 2019, "Buy 4 REINFORCE Samples, Get a Baseline for Free!"; Ahmadian et al.
        2024, arXiv:2402.14740, equation 7 (RLOO).
    """
    size = rewards.shape[1]
    return centred_advantages(rewards) * (size / max(size - 1, 1))


def standardized_advantages(rewards: Float[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """Each reward minus its group's mean, over its group's standard deviation.

    Source: Shao et al. 2024, arXiv:2402.03300, section 4.1.2 (GRPO).
    """
    centred = centred_advantages(rewards)
    deviation = rewards.std(dim=1, keepdim=True) if rewards.shape[1] > 1 else 0 * centred[:, :1]
    return centred / (deviation + EPS)


def centred_advantages(rewards: Float[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """Each reward minus its group's mean; groups with a small deviation are not scaled up.

    Source: Liu et al. 2025, arXiv:2503.20783, section 3.2 (Dr. GRPO).
    """
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    return centred.masked_fill(_agree(rewards), 0)


def _agree(rewards: Float[Tensor, "B G"]) -> Bool[Tensor, "B 1"]:
    """Return which groups have equal rewards, up to rounding in the rewards' own scale.

    The mean of equal numbers can differ from them by a rounding; divided by a deviation of the same
    size that would be an advantage.
    """
    limits, scale = torch.finfo(rewards.dtype), rewards.abs().amax(dim=1, keepdim=True)
    tolerance = ROUNDINGS * (limits.eps * scale).clamp_min(limits.tiny)
    return rewards.amax(dim=1, keepdim=True) - rewards.amin(dim=1, keepdim=True) <= tolerance


def is_informative(rewards: Float[Tensor, "B G"]) -> Bool[Tensor, " B"]:
    """Return which groups have different rewards; other groups have no gradient."""
    has_spread = rewards.amax(dim=1) - rewards.amin(dim=1) > EPS
    return has_spread & ~_agree(rewards).squeeze(1)


def policy_gradient(
    log_prob: Float[Tensor, "B G K"], advantages: Float[Tensor, "B G"]
) -> Float[Tensor, ""]:
    """``-advantage * log_prob(slate)``, averaged over slates: its gradient is REINFORCE's.

    Args:
        log_prob: log-probability of every item of a slate, given those before it.
        advantages: one for every slate.

    Source: Williams 1992, "Simple Statistical Gradient-Following Algorithms".
    """
    return -(advantages * log_prob.sum(dim=2)).mean()


def expected_reward(
    log_prob: Float[Tensor, "B G K"], advantages: Float[Tensor, "B G"]
) -> Float[Tensor, ""]:
    """``-probability(slate) * advantage``, summed over a group and averaged over histories.

    Where a group holds every slate once, it is the expected advantage itself, without draws. Less
    ``c`` times the KL divergence from a reference ``q``, it is largest at ``q exp(advantage / c)``,
    normalised.

    Args:
        log_prob: log-probability of every item of a slate, given those before it.
        advantages: one for every slate; 0 is that of slates outside the group.

    Source: Ziebart 2010 for the optimum; Ciosek and Whiteson 2018, arXiv:1706.05374 (expected
        policy gradients).
    """
    return -(advantages * log_prob.sum(dim=2).exp()).sum(dim=1).mean()


def clipped_policy_gradient(
    log_prob: Float[Tensor, "B G K"],
    old_log_prob: Float[Tensor, "B G K"],
    advantages: Float[Tensor, "B G"],
    *,
    clip_low: float,
    clip_high: float,
    is_sequence_level: bool = False,
) -> Float[Tensor, ""]:
    """``-min(ratio * advantage, clip(ratio) * advantage)``, averaged over slates.

    There is a ratio of new to old probability for each item, whose terms are summed over a slate,
    or one for the whole slate. In the first epoch over a batch every ratio is 1, and the gradient
    is that of ``policy_gradient``.

    Args:
        log_prob: log-probability of every item of a slate, given those before it, under the policy.
        old_log_prob: the same under the policy that drew the slates.
        advantages: one for every slate.
        clip_low: largest distance below 1 at which a ratio still has a gradient.
        clip_high: largest distance above 1.
        is_sequence_level: use one ratio for the whole slate.

    Source: Schulman et al. 2017, arXiv:1707.06347, equation 7; two bounds as in Yu et al. 2025,
        arXiv:2503.14476, section 3.1.
    """
    ratio = _ratio(log_prob, old_log_prob, is_sequence_level)
    advantage = advantages[:, :, None]
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return -torch.minimum(ratio * advantage, clipped * advantage).sum(dim=2).mean()


def share_clipped(
    log_prob: Float[Tensor, "B G K"],
    old_log_prob: Float[Tensor, "B G K"],
    advantages: Float[Tensor, "B G"],
    *,
    clip_low: float,
    clip_high: float,
    is_sequence_level: bool = False,
) -> Float[Tensor, ""]:
    """The share of ratios that are clipped.

    They have no gradient in ``clipped_policy_gradient``, which has the same arguments.
    """
    ratio = _ratio(log_prob, old_log_prob, is_sequence_level)
    advantage = advantages[:, :, None]
    is_up = (ratio > 1 + clip_high) & (advantage > 0)
    is_down = (ratio < 1 - clip_low) & (advantage < 0)
    return (is_up | is_down).float().mean()


def _ratio(
    log_prob: Float[Tensor, "B G K"], old_log_prob: Float[Tensor, "B G K"], is_sequence_level: bool
) -> Float[Tensor, "B G R"]:
    """Return the ratios of new to old probability, of every item or of the whole slate."""
    shift = log_prob - old_log_prob
    return (shift.sum(dim=2, keepdim=True) if is_sequence_level else shift).exp()
