"""Preference losses: better against worse answers, as functions of log-probabilities.

A pair is a history, the answer that was preferred to it, and one or several that were not. Of
every answer the losses know its log-probability under the policy and under the frozen reference.
Each gives a number a pair, which the caller weighs and sums. Below, ``ratio`` is an answer's
``policy - reference``; beta, in all of them, says how much a nat of it counts.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqrec.losses.slate import slate_log_prob


class PairLogProbs(NamedTuple):
    """Log-probabilities of pairs' answers under one model, in nats."""

    chosen: Float[Tensor, " P"]
    rejected: Float[Tensor, "P R"]
    unrelated: Float[Tensor, " P"]
    """Of an answer to another history, by which KTO sees how far policy and reference are apart."""


class Answers(NamedTuple):
    """Which answers a pair has, and how long they are; what is not there is padding."""

    chosen_length: Int[Tensor, " P"]
    """Titles of the chosen answer; 0 if the pair has none."""
    rejected_length: Int[Tensor, "P R"]
    """Titles of each rejected answer; 0 where there is none."""

    @property
    def has_chosen(self) -> Bool[Tensor, " P"]:
        """Pairs that have a chosen answer."""
        return self.chosen_length > 0

    @property
    def is_rejected(self) -> Bool[Tensor, "P R"]:
        """Where there is a rejected answer."""
        return self.rejected_length > 0


def dpo(
    policy: PairLogProbs,
    reference: PairLogProbs,
    answers: Answers,
    *,
    beta: float,
    label_smoothing: float,
) -> Float[Tensor, " P"]:
    """Direct preference optimisation: ``-log sigmoid(beta * (chosen ratio - rejected ratio))``.

    With label smoothing ``e``, the loss of a comparison that is wrong with that chance:
    ``(1 - e)`` times the above, plus ``e`` times the same of the two answers exchanged. Several
    rejected answers are as many comparisons, of which the mean is taken.

    Source: Rafailov et al. 2023, arXiv:2305.18290, equation 7; the smoothing is Mitchell's 2023
        "A note on DPO with noisy preferences" (cDPO).
    """
    gap = beta * _ratio_gap(policy, reference)
    losses = -(1 - label_smoothing) * F.logsigmoid(gap) - label_smoothing * F.logsigmoid(-gap)
    return _mean_over(losses, answers.is_rejected)


def ipo(
    policy: PairLogProbs, reference: PairLogProbs, answers: Answers, *, beta: float
) -> Float[Tensor, " P"]:
    """Identity preference optimisation: ``(chosen ratio - rejected ratio - 1 / (2 * beta)) ** 2``.

    The gap has a goal instead of a direction: comparisons that are certain do not drive it on.
    Log-probabilities of slates are divided by their lengths, as TRL does with sentences. Several
    rejected answers are as many comparisons, of which the mean is taken.

    Source: Azar et al. 2023, arXiv:2310.12036, equation 17, where beta is called tau.
    """
    policy, reference = _per_title(policy, answers), _per_title(reference, answers)
    losses = (_ratio_gap(policy, reference) - 1 / (2 * beta)) ** 2
    return _mean_over(losses, answers.is_rejected)


def simpo(
    policy: PairLogProbs,
    reference: PairLogProbs | None,
    answers: Answers,
    *,
    beta: float,
    gamma: float,
) -> Float[Tensor, " P"]:
    """Simple preference optimisation: ``-log sigmoid(beta * (chosen - rejected) - gamma)``.

    Chosen and rejected are the policy's own log-probabilities a title; the reference is not
    read. Several rejected answers are as many comparisons, of which the mean is taken.

    Source: Meng et al. 2024, arXiv:2405.14734, equation 6.
    """
    own = _per_title(policy, answers)
    losses = -F.logsigmoid(beta * (own.chosen[:, None] - own.rejected) - gamma)
    return _mean_over(losses, answers.is_rejected)


def s_dpo(
    policy: PairLogProbs, reference: PairLogProbs, answers: Answers, *, beta: float
) -> Float[Tensor, " P"]:
    """Softmax DPO: one chosen answer against all rejected ones at once.

    ``-log sigmoid(-log(sum over rejected of exp(beta * (rejected ratio - chosen ratio))))``, that
    is the cross-entropy of a softmax over the answers' ratios. With one rejected answer it is
    DPO.

    Source: Chen et al. 2024, arXiv:2406.09215, its loss for one preferred and several dispreferred
        items.
    """
    gap = -beta * _ratio_gap(policy, reference)
    against = gap.masked_fill(~answers.is_rejected, -torch.inf)
    nobody = gap.new_zeros(len(gap), 1)
    return torch.cat([nobody, against], dim=1).logsumexp(dim=1)


def kto(
    policy: PairLogProbs,
    reference: PairLogProbs,
    answers: Answers,
    *,
    beta: float,
    chosen_weight: float,
    rejected_weight: float,
) -> Float[Tensor, " P"]:
    """Kahneman-Tversky optimisation: likes and dislikes, of which none needs a partner.

    A liked answer loses ``chosen_weight * (1 - sigmoid(beta * (ratio - z)))``, a disliked one
    ``rejected_weight * (1 - sigmoid(beta * (z - ratio)))``. ``z`` estimates how far the policy has
    gone from the reference: the mean ratio of unrelated answers, not below 0, without gradient. A
    pair has the sum of its liked answer's and the mean of its disliked answers' losses, divided
    by the sides it has.

    Source: Ethayarajh et al. 2024, arXiv:2402.01306, equation 8.
    """
    unrelated = (policy.unrelated - reference.unrelated).detach()
    zero_point = unrelated.sum().clamp_min(0) / max(len(unrelated), 1)
    chosen = torch.sigmoid(beta * (zero_point - (policy.chosen - reference.chosen)))
    rejected = torch.sigmoid(beta * (policy.rejected - reference.rejected - zero_point))
    has_chosen, is_rejected = answers.has_chosen, answers.is_rejected
    of_chosen = chosen_weight * chosen.where(has_chosen, 0)
    of_rejected = rejected_weight * _mean_over(rejected, is_rejected)
    num_sides = has_chosen.long() + is_rejected.any(dim=1).long()
    return (of_chosen + of_rejected) / num_sides.clamp_min(1)


def answer_log_prob(
    title_log_prob: Float[Tensor, "*shape K"], is_title: Bool[Tensor, "*shape K"]
) -> Float[Tensor, "*shape"]:
    """The log-probability that titles are drawn in this order, none of them twice.

    The sum of ``slate_log_prob``. Of one title, its own log-probability; of none, 0.

    Args:
        title_log_prob: of each title under the whole catalog.
        is_title: where there is one; the titles of an answer stand before the padding.
    """
    of_titles = slate_log_prob(title_log_prob.where(is_title, -torch.inf))
    return of_titles.where(is_title, 0).sum(dim=-1)


def pair_accuracy(policy: PairLogProbs, answers: Answers) -> Float[Tensor, " P"]:
    """The share of a pair's rejected answers that are less likely than its chosen one.

    Log-probabilities a title are compared; equal ones count half.
    """
    own = _per_title(policy, answers)
    gap = own.chosen[:, None] - own.rejected
    return _mean_over((gap > 0).to(gap.dtype) + (gap == 0).to(gap.dtype) / 2, answers.is_rejected)


def pair_margin(
    policy: PairLogProbs, reference: PairLogProbs, answers: Answers
) -> Float[Tensor, " P"]:
    """By how many nats the policy prefers the chosen answer more than the reference does.

    Source: the implicit reward of Rafailov et al. 2023, arXiv:2305.18290, section 5, over beta.
    """
    return _mean_over(_ratio_gap(policy, reference), answers.is_rejected)


def _ratio_gap(policy: PairLogProbs, reference: PairLogProbs) -> Float[Tensor, "P R"]:
    chosen = policy.chosen - reference.chosen
    return chosen[:, None] - (policy.rejected - reference.rejected)


def _per_title(of: PairLogProbs, answers: Answers) -> PairLogProbs:
    return PairLogProbs(
        of.chosen / answers.chosen_length.clamp_min(1),
        of.rejected / answers.rejected_length.clamp_min(1),
        of.unrelated,
    )


def _mean_over(values: Float[Tensor, "P R"], is_there: Bool[Tensor, "P R"]) -> Float[Tensor, " P"]:
    """The mean of a pair's own values; 0 of none."""
    total = values.where(is_there, 0).sum(dim=1)
    return total / is_there.sum(dim=1).clamp_min(1)
