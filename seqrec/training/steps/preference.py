"""Preference optimization: the loss of pairs, the reference, and metrics of held-out pairs."""

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.losses.divergence import row_divergences
from seqrec.losses.log_prob import catalog_log_prob, separated_logits
from seqrec.losses.preference import (
    Answers,
    PairLogProbs,
    pair_accuracy,
    pair_margin,
)
from seqrec.losses.slate import slates_within_rows
from seqrec.losses.softmax import CatalogScores
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.tokens.streams.batches import PairBatch
from seqrec.training.steps.targets import TargetPositions, scores_at
from seqrec.training.tensors import PairTensors, as_tensors, get_answers


class PreferenceLoss(Protocol):
    """A loss of pairs; settings are bound."""

    def __call__(
        self, policy: PairLogProbs, reference: PairLogProbs, answers: Answers
    ) -> Tensor: ...


class ReferenceLogProbs(Protocol):
    """Returns the reference's log-probabilities of a batch."""

    def __call__(self, batch: PairTensors) -> PairLogProbs: ...


def preference_loss(
    model: SeqRecForNextItem,
    batch: PairTensors,
    *,
    loss: PreferenceLoss,
    reference: ReferenceLogProbs | None,
    sft_share: float,
) -> Float[Tensor, ""]:
    """``(1 - sft_share)`` times the mean loss of the pairs plus ``sft_share`` times that of SFT.

    Both read the same encoding of the histories: the loss of SFT is the cross-entropy of the next
    items within the histories of the pairs.

    Args:
        model: the policy.
        batch: pairs and their packed histories.
        loss: loss of the pairs' log-probabilities.
        reference: returns the reference's log-probabilities; None for a loss without a reference.
        sft_share: share of the SFT loss.
    """
    hidden = model.hidden_states(batch.input_ids, batch.documents)
    item_weight = model.item_weight()
    policy = log_probs(pair_scores(model, batch, hidden, item_weight=item_weight), batch)
    reference_log_probs = policy if reference is None else reference(batch)
    losses = loss(policy, reference_log_probs, get_answers(batch))
    pair_loss = (batch.pair_weight * losses).sum() / max(batch.total_pair_weight, 1e-12)
    if not sft_share:
        return pair_loss
    targets = TargetPositions.of(batch)
    scores = scores_at(
        model,
        batch.histories,
        hidden.flatten(0, 1),
        targets.positions,
        targets.labels,
        item_weight=item_weight,
    )
    item_loss = catalog_cross_entropy(
        scores.hidden,
        scores.item_weight,
        targets.labels,
        label_weight=targets.weight,
        total_weight=batch.total_weight,
        logit_bias=scores.logit_bias,
        all_rows_count=True,
    )
    return (1 - sft_share) * pair_loss + sft_share * item_loss


def pair_scores(
    model: SeqRecForNextItem,
    batch: PairTensors,
    hidden: Float[Tensor, "B T D"],
    *,
    item_weight: Float[Tensor, "I D"] | None = None,
    num_items: int | None = None,
    as_served: bool = False,
) -> CatalogScores:
    """Return the model's scores at the positions of the pairs of a batch.

    Args:
        model: the model.
        batch: pairs and their packed histories.
        hidden: the model's states at every position.
        item_weight: the model's item vectors.
        num_items: size of the softmax.
        as_served: use all transitions in the transition prior. In training the transition to a
            known next item is excluded.
    """
    index = batch.rows * batch.input_ids.shape[1] + batch.columns
    return scores_at(
        model,
        batch.histories,
        hidden.flatten(0, 1),
        index,
        None if as_served else batch.next_items,
        num_items=num_items,
        item_weight=item_weight,
    )


def log_probs(scores: CatalogScores, batch: PairTensors) -> PairLogProbs:
    """Return the log-probabilities of all answers of a batch, given ``pair_scores``."""
    answers = batch.chosen_at, batch.rejected_at, batch.unrelated_at
    if all(at.shape[-1] <= 1 for at in answers):
        hidden, item_weight, logit_bias = scores
        log_prob = catalog_log_prob(
            hidden, item_weight, batch.candidates, logit_bias=logit_bias
        ).flatten()
        padded = torch.cat([log_prob, log_prob.new_zeros(1)])
        return PairLogProbs(*(padded[at].sum(dim=-1) for at in answers))
    logits, log_mass = separated_logits(scores, batch.candidates)
    return PairLogProbs(
        *(
            slates_within_rows(logits, log_mass, batch.candidates, at).where(at >= 0, 0).sum(-1)
            for at in answers
        )
    )


class FrozenReference:
    """A second model, evaluated without gradients."""

    def __init__(self, model: SeqRecForNextItem, num_items: int | None = None) -> None:
        """Freeze the model.

        Args:
            model: the reference.
            num_items: size of the softmax: the policy's learned items; the model's if absent.
        """
        self.model = model.eval().requires_grad_(False)
        self.num_items = num_items

    @torch.no_grad()
    def __call__(self, batch: PairTensors) -> PairLogProbs:
        model = self.model.to(batch.input_ids.device)
        hidden = model.hidden_states(batch.input_ids, batch.documents)
        return log_probs(pair_scores(model, batch, hidden, num_items=self.num_items), batch)


class CachedReference:
    """Cached log-probabilities, by the index of the pair in its file."""

    def __init__(self, log_probs: PairLogProbs) -> None:
        self.log_probs = log_probs

    def __call__(self, batch: PairTensors) -> PairLogProbs:
        device = batch.pairs.device
        self.log_probs = move_data_to_device(self.log_probs, device)
        return PairLogProbs(*(part[batch.pairs] for part in self.log_probs))


class PairMetrics:
    """Metrics of a policy on held-out pairs, and its KL divergence from the reference.

    Models are evaluated as served: float32, no dropout, the whole transition prior.
    """

    def __init__(
        self,
        batches: Callable[[], Iterable[PairBatch[np.ndarray]]],
        reference: Callable[[], SeqRecForNextItem],
    ) -> None:
        """Set the sources of pairs and reference.

        Args:
            batches: returns batches of the held-out pairs.
            reference: returns the reference model, from memory or from disk.
        """
        self.batches = batches
        self.reference = reference

    @torch.no_grad()
    def __call__(self, policy: SeqRecForNextItem) -> dict[str, float]:
        """Return mean accuracy, margin and chosen ratio of pairs, and the mean KL of positions.

        A metric without values is absent.
        """
        is_training = policy.training
        policy.eval()
        reference = self.reference().eval()
        reference.to(policy.device)  # type: ignore[arg-type]
        parts_by_key: dict[str, list[Tensor]] = {}
        for batch in self.batches():
            tensors = move_data_to_device(as_tensors(batch), policy.device)
            for key, values in _pair_metrics(policy, reference, tensors).items():
                parts_by_key.setdefault(key, []).append(values.double().cpu())
        policy.train(is_training)
        joined = {key: torch.cat(parts) for key, parts in parts_by_key.items()}
        return {key: float(values.mean()) for key, values in joined.items() if len(values)}


def _pair_metrics(
    policy: SeqRecForNextItem, reference: SeqRecForNextItem, batch: PairTensors
) -> dict[str, Tensor]:
    """Return the values of every pair, by metric; for the KL, of every position."""
    scores, log_probs_by_model = [], []
    for model in (policy, reference):
        hidden = model.hidden_states(batch.input_ids, batch.documents)
        own = pair_scores(model, batch, hidden, num_items=policy.num_learned, as_served=True)
        scores.append(own)
        log_probs_by_model.append(log_probs(own, batch))
    mine, theirs = log_probs_by_model
    answers = get_answers(batch)
    is_pair = answers.has_chosen & answers.is_rejected.any(dim=1)
    return {
        "pair_accuracy": pair_accuracy(mine, answers)[is_pair],
        "pair_margin_nats": pair_margin(mine, theirs, answers)[is_pair],
        "chosen_ratio_nats": (mine.chosen - theirs.chosen)[answers.has_chosen],
        "kl_nats": row_divergences(scores[0], scores[1:], kind="reverse_kl"),
    }
