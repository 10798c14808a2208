"""What a policy learns from rewards: advantages within a group of slates, and losses of them.

Every function takes plain tensors: ``B`` histories, ``G`` slates of each, ``K`` titles of a slate.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

EPS = 1e-6


def leave_one_out_advantages(rewards: Float[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """Each reward minus the mean of the others of its group.

    Source: Kool et al. 2019, "Buy 4 REINFORCE Samples, Get a Baseline for Free!"; Ahmadian et al.
        2024, arXiv:2402.14740, equation 7 (RLOO).
    """
    size = rewards.shape[1]
    return (rewards - rewards.mean(dim=1, keepdim=True)) * (size / max(size - 1, 1))


def standardized_advantages(rewards: Float[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """Each reward minus its group's mean, over its group's standard deviation; 0 where all agree.

    Source: Shao et al. 2024, arXiv:2402.03300, section 4.1.2 (GRPO).
    """
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    deviation = rewards.std(dim=1, keepdim=True) if rewards.shape[1] > 1 else 0 * centred[:, :1]
    return centred / (deviation + EPS)


def centred_advantages(rewards: Float[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """Each reward minus its group's mean: groups of little spread are not blown up.

    Source: Liu et al. 2025, arXiv:2503.20783, section 3.2 (Dr. GRPO).
    """
    return rewards - rewards.mean(dim=1, keepdim=True)


def is_informative(rewards: Float[Tensor, "B G"]) -> Bool[Tensor, " B"]:
    """Which groups have rewards that differ: from the others nothing is learned."""
    return (rewards.amax(dim=1) - rewards.amin(dim=1)) > EPS


def policy_gradient(
    log_prob: Float[Tensor, "B G K"], advantages: Float[Tensor, "B G"]
) -> Float[Tensor, ""]:
    """``-advantage * log_prob(slate)``, averaged over slates: its gradient is REINFORCE's.

    Args:
        log_prob: of every title of a slate, given those before it.
        advantages: of the slates.

    Source: Williams 1992, "Simple Statistical Gradient-Following Algorithms".
    """
    return -(advantages * log_prob.sum(dim=2)).mean()


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

    The ratio of new to old probability is one of each title, summed over a slate's titles, or
    one of the whole slate. At the first pass over a batch every ratio is 1, and the gradient is
    that of ``policy_gradient``.

    Args:
        log_prob: of every title of a slate, given those before it, under the policy.
        old_log_prob: under the policy that drew the slates.
        advantages: of the slates.
        clip_low: how far below 1 a ratio may fall and still be learned from.
        clip_high: how far above.
        is_sequence_level: one ratio a slate.

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
    """The share of ratios that are beyond the bound that their advantage pushes against.

    From these ``clipped_policy_gradient`` learns nothing; the arguments are its.
    """
    ratio = _ratio(log_prob, old_log_prob, is_sequence_level)
    advantage = advantages[:, :, None]
    is_up = (ratio > 1 + clip_high) & (advantage > 0)
    is_down = (ratio < 1 - clip_low) & (advantage < 0)
    return (is_up | is_down).float().mean()


def _ratio(
    log_prob: Float[Tensor, "B G K"], old_log_prob: Float[Tensor, "B G K"], is_sequence_level: bool
) -> Float[Tensor, "B G R"]:
    """Of new to old probability, of every title or of the whole slate."""
    shift = log_prob - old_log_prob
    return (shift.sum(dim=2, keepdim=True) if is_sequence_level else shift).exp()
