"""Preference losses: better against worse answers, as functions of log-probabilities.

A pair is a history, its chosen answer, and one or several rejected answers. The losses read every
answer's log-probability under the policy and under the frozen reference, and return a value per
pair, which the caller weights and sums. Below, ``ratio`` is an answer's ``policy - reference``;
``beta`` is the weight of a nat of it.
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
    """Log-probability of an answer to another history, from which KTO estimates the KL."""


class Answers(NamedTuple):
    """Lengths of the answers of pairs; answers of length 0 are padding."""

    chosen_length: Int[Tensor, " P"]
    """Items of the chosen answer; 0 if the pair has none."""
    rejected_length: Int[Tensor, "P R"]
    """Items of each rejected answer; 0 for padding."""

    @property
    def has_chosen(self) -> Bool[Tensor, " P"]:
        """Pairs that have a chosen answer."""
        return self.chosen_length > 0

    @property
    def is_rejected(self) -> Bool[Tensor, "P R"]:
        """Mask of the rejected answers, without padding."""
        return self.rejected_length > 0


def dpo(
    policy: PairLogProbs,
    reference: PairLogProbs,
    answers: Answers,
    *,
    beta: float,
    label_smoothing: float,
) -> Float[Tensor, " P"]:
    """Direct preference optimization: ``-log sigmoid(beta * (chosen ratio - rejected ratio))``.

    With label smoothing ``e`` it is the expected loss of a comparison that is reversed with
    probability ``e``: ``(1 - e)`` times the above, plus ``e`` times the loss with the two answers
    exchanged. For several rejected answers it is the mean over them.

    Source: Rafailov et al. 2023, arXiv:2305.18290, equation 7; the smoothing is Mitchell's 2023
        "A note on DPO with noisy preferences" (cDPO).
    """
    gap = beta * _ratio_gap(policy, reference)
    losses = -(1 - label_smoothing) * F.logsigmoid(gap) - label_smoothing * F.logsigmoid(-gap)
    return _mean_over(losses, answers.is_rejected)


def ipo(
    policy: PairLogProbs, reference: PairLogProbs, answers: Answers, *, beta: float
) -> Float[Tensor, " P"]:
    """Identity preference optimization: ``(chosen ratio - rejected ratio - 1 / (2 * beta)) ** 2``.

    The gap has a target, so that certain comparisons do not increase it further. Log-probabilities
    of slates are divided by their lengths, as TRL does with sentences. For several rejected answers
    it is the mean over them.

    Source: Azar et al. 2023, arXiv:2310.12036, equation 17, where beta is called tau.
    """
    policy, reference = _per_item(policy, answers), _per_item(reference, answers)
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
    """Simple preference optimization: ``-log sigmoid(beta * (chosen - rejected) - gamma)``.

    Chosen and rejected are the policy's own log-probabilities per item; the reference is not read.
    For several rejected answers it is the mean over them.

    Source: Meng et al. 2024, arXiv:2405.14734, equation 6.
    """
    own = _per_item(policy, answers)
    losses = -F.logsigmoid(beta * (own.chosen[:, None] - own.rejected) - gamma)
    return _mean_over(losses, answers.is_rejected)


def s_dpo(
    policy: PairLogProbs, reference: PairLogProbs, answers: Answers, *, beta: float
) -> Float[Tensor, " P"]:
    """Softmax DPO: one chosen answer against all rejected ones at once.

    ``-log sigmoid(-log(sum over rejected of exp(beta * (rejected ratio - chosen ratio))))``: the
    cross-entropy of a softmax over the answers' ratios. With one rejected answer it equals DPO.

    Source: Chen et al. 2024, arXiv:2406.09215, its loss for one preferred and several dispreferred
        items.
    """
    gap = -beta * _ratio_gap(policy, reference)
    against = gap.masked_fill(~answers.is_rejected, -torch.inf)
    chosen = gap.new_zeros(len(gap), 1)
    return torch.cat([chosen, against], dim=1).logsumexp(dim=1)


def kto(
    policy: PairLogProbs,
    reference: PairLogProbs,
    answers: Answers,
    *,
    beta: float,
    chosen_weight: float,
    rejected_weight: float,
) -> Float[Tensor, " P"]:
    """Kahneman-Tversky optimization: likes and dislikes, which need not come in pairs.

    The loss of a liked answer is ``chosen_weight * (1 - sigmoid(beta * (ratio - z)))``, that of a
    disliked one ``rejected_weight * (1 - sigmoid(beta * (z - ratio)))``. ``z`` estimates the KL
    from the reference: the mean ratio of unrelated answers, at least 0, without gradient. The loss
    of a pair is the mean of its sides: the liked answer, and the mean over the disliked ones.

    Source: Ethayarajh et al. 2024, arXiv:2402.01306, equation 8.
    """
    unrelated = (policy.unrelated - reference.unrelated).detach()
    zero_point = unrelated.sum().clamp_min(0) / max(len(unrelated), 1)
    chosen = torch.sigmoid(beta * (zero_point - (policy.chosen - reference.chosen)))
    rejected = torch.sigmoid(beta * (policy.rejected - reference.rejected - zero_point))
    has_chosen, is_rejected = answers.has_chosen, answers.is_rejected
    chosen_loss = chosen_weight * chosen.where(has_chosen, 0)
    rejected_loss = rejected_weight * _mean_over(rejected, is_rejected)
    num_sides = has_chosen.long() + is_rejected.any(dim=1).long()
    return (chosen_loss + rejected_loss) / num_sides.clamp_min(1)


def answer_log_prob(
    item_log_prob: Float[Tensor, "*shape K"], is_item: Bool[Tensor, "*shape K"]
) -> Float[Tensor, "*shape"]:
    """The log-probability of drawing items in this order without replacement.

    It is the sum of ``slate_log_prob``; for one item its own log-probability, for none 0.

    Args:
        item_log_prob: log-probability of each item under the whole catalog.
        is_item: mask of the items, which come before the padding.
    """
    log_prob = slate_log_prob(item_log_prob.where(is_item, -torch.inf))
    return log_prob.where(is_item, 0).sum(dim=-1)


def pair_accuracy(policy: PairLogProbs, answers: Answers) -> Float[Tensor, " P"]:
    """The share of a pair's rejected answers that are less likely than its chosen one.

    Log-probabilities per item are compared; equal ones count half.
    """
    own = _per_item(policy, answers)
    gap = own.chosen[:, None] - own.rejected
    return _mean_over((gap > 0).to(gap.dtype) + (gap == 0).to(gap.dtype) / 2, answers.is_rejected)


def pair_margin(
    policy: PairLogProbs, reference: PairLogProbs, answers: Answers
) -> Float[Tensor, " P"]:
    """The chosen ratio minus the mean rejected ratio, in nats.

    Source: the implicit reward of Rafailov et al. 2023, arXiv:2305.18290, section 5, over beta.
    """
    return _mean_over(_ratio_gap(policy, reference), answers.is_rejected)


def _ratio_gap(policy: PairLogProbs, reference: PairLogProbs) -> Float[Tensor, "P R"]:
    chosen = policy.chosen - reference.chosen
    return chosen[:, None] - (policy.rejected - reference.rejected)


def _per_item(log_probs: PairLogProbs, answers: Answers) -> PairLogProbs:
    return PairLogProbs(
        log_probs.chosen / answers.chosen_length.clamp_min(1),
        log_probs.rejected / answers.rejected_length.clamp_min(1),
        log_probs.unrelated,
    )


def _mean_over(values: Float[Tensor, "P R"], mask: Bool[Tensor, "P R"]) -> Float[Tensor, " P"]:
    """Return the mean of every pair's unmasked values; 0 without values."""
    total = values.where(mask, 0).sum(dim=1)
    return total / mask.sum(dim=1).clamp_min(1)
