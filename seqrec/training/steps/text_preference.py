"""Preference optimization on text: answers to one prompt, which is read once for all of them."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from seqrec.losses.log_prob import catalog_log_prob
from seqrec.losses.preference import Answers, PairLogProbs, pair_accuracy, pair_margin
from seqrec.training.steps.preference import PreferenceLoss
from seqrec.training.steps.text import TextPairTensors, word_scores

NUM_SIDES = 3
"""Answers of a pair: chosen, rejected, unrelated."""


def text_preference_loss(
    model: Any,
    batch: TextPairTensors,
    *,
    loss: PreferenceLoss,
    reference: "TextReference | None",
    sft_share: float = 0.0,
) -> Float[Tensor, ""]:
    """The weighted mean loss of the pairs of a batch.

    Args:
        model: the policy.
        batch: prompts and answers.
        loss: loss of the answers' log-probabilities.
        reference: has the log-probabilities of the reference; None for a loss without one.
        sft_share: share of the loss that is the chosen answers' negative log-likelihood a token;
            pairs without a chosen answer have none.
    """
    policy = answer_log_probs(model, batch)
    known = policy if reference is None else reference.get(batch)
    answers = get_answers(batch)
    losses = (1 - sft_share) * loss(policy, known, answers)
    if sft_share:
        losses = losses - sft_share * policy.chosen / answers.chosen_length.clamp_min(1)
    return (batch.pair_weight * losses).sum() / batch.total_pair_weight


def answer_log_probs(model: Any, batch: TextPairTensors) -> PairLogProbs:
    """Return the log-probability of every answer: the sum over its tokens, in nats."""
    scores = word_scores(model, batch)
    log_prob = catalog_log_prob(scores.hidden, scores.item_weight, batch.labels)
    sums = log_prob.new_zeros(len(batch.pairs) * NUM_SIDES).index_add(0, batch.answers, log_prob)
    return _by_side(sums.view(-1, NUM_SIDES))


def get_answers(batch: TextPairTensors) -> Answers:
    """Return the lengths of the answers of all pairs."""
    return Answers(batch.lengths[:, 0], batch.lengths[:, 1:2])


def _by_side(sums: Float[Tensor, "P 3"]) -> PairLogProbs:
    return PairLogProbs(sums[:, 0], sums[:, 1:2], sums[:, 2])


class TextReference:
    """The log-probabilities of all answers under the model that training starts from.

    They are computed once, before the first step: the start is the reference.
    """

    def __init__(self, num_pairs: int) -> None:
        self.sums = torch.full((num_pairs, NUM_SIDES), torch.nan)

    @torch.no_grad()
    def fill(self, model: Any, batches: Iterable[TextPairTensors]) -> None:
        """Store the log-probabilities of the answers of some batches."""
        for batch in batches:
            found = answer_log_probs(model, batch)
            sums = torch.stack([found.chosen, found.rejected[:, 0], found.unrelated], dim=1)
            self.sums[batch.pairs.cpu()] = sums.float().cpu()

    def get(self, batch: TextPairTensors) -> PairLogProbs:
        """Return the log-probabilities of a batch's answers."""
        return _by_side(self.sums[batch.pairs.cpu()].to(batch.input_ids.device))


def text_pair_metrics(
    policy: PairLogProbs, reference: PairLogProbs, batch: TextPairTensors
) -> dict[str, Tensor]:
    """Return accuracy and margin of every pair that has both answers."""
    answers = get_answers(batch)
    is_pair = answers.has_chosen & answers.is_rejected.any(dim=1)
    return {
        "pair_accuracy": pair_accuracy(policy, answers)[is_pair],
        "pair_margin_nats": pair_margin(policy, reference, answers)[is_pair],
    }
