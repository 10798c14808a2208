"""Preference optimisation: what was preferred becomes likelier than what was not."""

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
    """A loss of pairs, its settings bound."""

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
    """``(1 - sft_share)`` times the mean loss of the pairs, ``sft_share`` times that of SFT.

    Histories are encoded once for both: SFT's loss is the cross-entropy of the titles within the
    histories that are shown.

    Args:
        model: the policy.
        batch: pairs and their packed histories.
        loss: of log-probabilities.
        reference: what the policy is held against; None where the loss reads none.
        sft_share: as above.
    """
    hidden = model.hidden_states(batch.input_ids, batch.documents)
    item_weight = model.item_weight()
    policy = log_probs(pair_scores(model, batch, hidden, item_weight=item_weight), batch)
    held_against = policy if reference is None else reference(batch)
    losses = loss(policy, held_against, get_answers(batch))
    of_pairs = (batch.pair_weight * losses).sum() / max(batch.total_pair_weight, 1e-12)
    if not sft_share:
        return of_pairs
    targets = TargetPositions.of(batch.labels, batch.label_weight)
    scores = scores_at(
        model,
        batch.histories,
        hidden.flatten(0, 1),
        targets.positions,
        targets.labels,
        item_weight=item_weight,
    )
    of_titles = catalog_cross_entropy(
        scores.hidden,
        scores.item_weight,
        targets.labels,
        label_weight=targets.weight,
        total_weight=batch.total_weight,
        logit_bias=scores.logit_bias,
    )
    return (1 - sft_share) * of_pairs + sft_share * of_titles


def pair_scores(
    model: SeqRecForNextItem,
    batch: PairTensors,
    hidden: Float[Tensor, "B T D"],
    *,
    item_weight: Float[Tensor, "I D"] | None = None,
    num_items: int | None = None,
    as_served: bool = False,
) -> CatalogScores:
    """``catalog_scores`` at the positions of a batch that its pairs ask about.

    Args:
        model: whose scores.
        batch: pairs and their packed histories.
        hidden: the model's states at every position.
        item_weight: the model's item vectors.
        num_items: size of the softmax.
        as_served: leave all occurrences in the transition prior. In training the one of the item
            that came next is left out, where that item is known.
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
    """The log-probabilities of all answers of a batch, given ``pair_scores``."""
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
    """A second model, asked without a gradient."""

    def __init__(self, model: SeqRecForNextItem, num_items: int | None = None) -> None:
        """Hold the model.

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
    """Log-probabilities that were computed before, by the number of the pair in its file."""

    def __init__(self, of_pairs: PairLogProbs) -> None:
        self.of_pairs = of_pairs

    def __call__(self, batch: PairTensors) -> PairLogProbs:
        device = batch.pairs.device
        self.of_pairs = move_data_to_device(self.of_pairs, device)
        return PairLogProbs(*(part[batch.pairs] for part in self.of_pairs))


class PairMetrics:
    """How a policy fares on held-out pairs, and how far it has gone from its reference.

    Everything is as served: float32, no dropout, all of a memory.
    """

    def __init__(
        self,
        batches: Callable[[], Iterable[PairBatch[np.ndarray]]],
        reference: Callable[[], SeqRecForNextItem],
    ) -> None:
        """Hold where the pairs and the reference come from.

        Args:
            batches: of the held-out pairs.
            reference: the model, held in memory or read anew.
        """
        self.batches = batches
        self.reference = reference

    @torch.no_grad()
    def __call__(self, policy: SeqRecForNextItem) -> dict[str, float]:
        """Accuracy, margin and the chosen answers' ratio, means over pairs; KL over histories.

        A mean that is over nothing is left out.
        """
        is_training = policy.training
        policy.eval()
        reference = self.reference().eval()
        reference.to(policy.device)  # type: ignore[arg-type]
        found: dict[str, list[Tensor]] = {}
        for batch in self.batches():
            tensors = move_data_to_device(as_tensors(batch), policy.device)
            for key, values in _pair_metrics(policy, reference, tensors).items():
                found.setdefault(key, []).append(values.double().cpu())
        policy.train(is_training)
        values_of = {key: torch.cat(parts) for key, parts in found.items()}
        return {key: float(values.mean()) for key, values in values_of.items() if len(values)}


def _pair_metrics(
    policy: SeqRecForNextItem, reference: SeqRecForNextItem, batch: PairTensors
) -> dict[str, Tensor]:
    """By what is watched, the value of every pair (KL: of every place)."""
    scores, of_models = [], []
    for model in (policy, reference):
        hidden = model.hidden_states(batch.input_ids, batch.documents)
        own = pair_scores(model, batch, hidden, num_items=policy.num_learned, as_served=True)
        scores.append(own)
        of_models.append(log_probs(own, batch))
    mine, theirs = of_models
    answers = get_answers(batch)
    is_pair = answers.has_chosen & answers.is_rejected.any(dim=1)
    return {
        "pair_accuracy": pair_accuracy(mine, answers)[is_pair],
        "pair_margin_nats": pair_margin(mine, theirs, answers)[is_pair],
        "chosen_ratio_nats": (mine.chosen - theirs.chosen)[answers.has_chosen],
        "kl_nats": row_divergences(scores[0], scores[1:], kind="reverse_kl"),
    }
