"""Supervised fine-tuning: every position predicts the next item."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.catalog import IGNORE_INDEX, LogitBias
from seqrec.losses.negatives import Negatives, NegativeSampler
from seqrec.models.feature_heads import FeatureVocabulary, feature_cross_entropy
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.training.steps.targets import TargetPositions, scores_at
from seqrec.training.tensors import PackedTensors


class CatalogLoss(Protocol):
    """A loss over the whole catalog; settings are bound."""

    def __call__(
        self,
        hidden: Tensor,
        item_weight: Tensor,
        labels: Tensor,
        *,
        label_weight: Tensor,
        total_weight: float,
        logit_bias: LogitBias | None,
        all_rows_count: bool,
    ) -> Tensor: ...


class SampledLoss(Protocol):
    """A loss over targets and shared negatives; settings are bound."""

    def __call__(
        self,
        hidden: Tensor,
        positive: Tensor,
        negative: Tensor,
        labels: Tensor,
        negatives: Negatives,
        *,
        label_weight: Tensor,
        total_weight: float,
        all_rows_count: bool,
    ) -> Tensor: ...


class EventsLoss(NamedTuple):
    """The loss of event features, which is added to that of the items."""

    block_size: int
    """Tokens of an event."""
    vocabularies: Sequence[FeatureVocabulary]
    """Vocabularies of the learned features."""
    share: float
    """Share of all features in the loss."""

    def add_to(
        self,
        item_loss: Float[Tensor, ""],
        model: SeqRecForNextItem,
        hidden: Float[Tensor, "N D"],
        batch: PackedTensors,
    ) -> Float[Tensor, ""]:
        """Return the weighted sum of the items' loss and that of the features."""
        if not self.vocabularies or batch.features is None:
            return item_loss
        labels = batch.features.flatten()
        loss = feature_cross_entropy(model, hidden, labels, self.vocabularies, batch.num_features)
        return (1 - self.share) * item_loss + self.share * loss


NO_EVENTS = EventsLoss(1, (), 0.0)


def sft_loss(
    model: SeqRecForNextItem,
    batch: PackedTensors,
    *,
    loss: CatalogLoss,
    num_targets: int = 1,
    target_decay: float = 1.0,
    events: EventsLoss = NO_EVENTS,
) -> Float[Tensor, ""]:
    """The loss of the next items at every position of packed histories, in nats.

    The members of an ensemble are trained independently: the loss is the mean of theirs.

    Args:
        model: the trained model.
        batch: packed histories.
        loss: loss over the catalog.
        num_targets: number of next items learned at a position.
        target_decay: weight of a next item relative to the one before it; the weights sum to 1.
        events: block size and loss of event features.
    """
    hidden = model.hidden_states(batch.input_ids, batch.documents, batch.times).flatten(0, 1)
    targets = TargetPositions.of(batch)
    scores = scores_at(model, batch, hidden, targets.positions, targets.labels)
    if num_targets > 1:
        several = next_targets(batch, num_targets, target_decay, events.block_size)
        targets = targets.with_labels(*several)
    losses = [
        loss(
            member.hidden,
            member.item_weight,
            targets.labels,
            label_weight=targets.weight,
            total_weight=batch.total_weight,
            logit_bias=member.logit_bias,
            all_rows_count=True,
        )
        for member in model.per_member(scores)
    ]
    return events.add_to(torch.stack(losses).mean(), model, hidden, batch)


def next_targets(
    batch: PackedTensors, num_targets: int, decay: float, block_size: int = 1
) -> tuple[Int[Tensor, "B T K"], Float[Tensor, "B T K"]]:
    """Return the next items at every position, within its window, and their weights.

    The weights of a position's items sum to that of its next item; items are ``block_size``
    positions apart.
    """
    shape = (*batch.labels.shape, num_targets)
    labels = batch.labels.new_full(shape, IGNORE_INDEX)
    label_weight = batch.label_weight.new_zeros(shape)
    shares = decay ** torch.arange(num_targets)
    for number, share in enumerate((shares / shares.sum()).tolist()):
        steps = number * block_size
        here, there = slice(max(batch.labels.shape[1] - steps, 0)), slice(steps, None)
        is_same = batch.documents[:, there] == batch.documents[:, here]
        labels[:, here, number] = batch.labels[:, there].where(is_same, IGNORE_INDEX)
        label_weight[:, here, number] = batch.label_weight[:, there] * is_same * share
    whole = label_weight.sum(dim=2, keepdim=True)
    return labels, label_weight * (batch.label_weight[:, :, None] / whole.where(whole > 0, 1))


def sampled_sft_loss(
    model: SeqRecForNextItem,
    batch: PackedTensors,
    *,
    loss: SampledLoss,
    sampler: NegativeSampler,
    events: EventsLoss = NO_EVENTS,
) -> Float[Tensor, ""]:
    """``sft_loss`` with sampled negatives; rows of other items get no gradient."""
    hidden = model.hidden_states(batch.input_ids, batch.documents, batch.times).flatten(0, 1)
    targets = TargetPositions.of(batch)
    negatives = sampler.draw(targets.labels, model.num_learned)
    item_loss = loss(
        hidden[targets.positions],
        model.item_vectors(targets.labels),
        model.item_vectors(negatives.items),
        targets.labels,
        negatives,
        label_weight=targets.weight,
        total_weight=batch.total_weight,
        all_rows_count=True,
    )
    return events.add_to(item_loss, model, hidden, batch)
