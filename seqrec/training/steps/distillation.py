"""Distillation: a student learns its teachers' distributions over the whole catalog."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.sampling import draw_items
from seqrec.losses.softmax import CatalogScores
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.training.steps.targets import TargetPositions, scores_at
from seqrec.training.tensors import PackedTensors


class Divergence(Protocol):
    """A divergence of a student from its teachers; settings are bound."""

    def __call__(
        self,
        student: CatalogScores,
        teachers: Sequence[CatalogScores],
        *,
        labels: Tensor | None,
        label_share: float,
        row_weight: Tensor,
        total_weight: float,
    ) -> Tensor: ...


class Continuation(NamedTuple):
    """Settings of histories that the student continues and the teachers score."""

    num_items: int
    """Number of the student's items in each history."""
    temperature: float
    share: float
    """Share of the loss on these items."""


class Teachers:
    """Frozen models whose distributions are the targets."""

    def __init__(self, models: Sequence[SeqRecForNextItem]) -> None:
        self.models = [model.eval().requires_grad_(False) for model in models]
        self._item_weights: list[Tensor] = []

    @torch.no_grad()
    def scores(
        self,
        batch: PackedTensors,
        positions: Int[Tensor, " N"],
        labels: Int[Tensor, " N"] | None = None,
        num_items: int | None = None,
    ) -> list[CatalogScores]:
        """Return each teacher's scores at some positions of packed histories.

        Args:
            batch: packed histories.
            positions: indices in the flat array of positions.
            labels: next items of these positions, in training.
            num_items: size of the softmax: the student's learned items; the teacher's if absent.
        """
        device = batch.input_ids.device
        if not self._item_weights or self._item_weights[0].device != device:
            for model in self.models:
                model.to(device)  # type: ignore[arg-type]
            self._item_weights = [model.item_weight() for model in self.models]
        return [
            read_scores(
                model, batch, positions, labels, num_items=num_items, item_weight=item_weight
            )
            for model, item_weight in zip(self.models, self._item_weights, strict=True)
        ]


def read_scores(
    model: SeqRecForNextItem,
    batch: PackedTensors,
    positions: Int[Tensor, " N"],
    labels: Int[Tensor, " N"] | None = None,
    *,
    item_weight: Float[Tensor, "I D"],
    num_items: int | None = None,
) -> CatalogScores:
    """Encode a batch and return the model's scores at some positions."""
    hidden = model.hidden_states(batch.input_ids, batch.documents).flatten(0, 1)
    return scores_at(
        model, batch, hidden, positions, labels, num_items=num_items, item_weight=item_weight
    )


def distillation_loss(
    model: SeqRecForNextItem,
    batch: PackedTensors,
    *,
    teachers: Teachers,
    divergence: Divergence,
    sft_share: float,
    state_share: float = 0.0,
    continuation: Continuation | None = None,
) -> Float[Tensor, ""]:
    """The divergence from live teachers at every position of packed histories, in nats.

    The members of an ensemble are trained independently: the loss is the mean of theirs. All
    distributions exclude the items that SFT excludes: cold-start items of a student with content.

    With shares ``s`` of SFT, ``h`` of hidden states and ``c`` of continued histories:
    ``(1 - c) * ((1 - h) * ((1 - s) * divergence + s * cross-entropy) + h * unexplained) +
    c * divergence at the student's own items``.

    Args:
        model: the student.
        batch: packed histories.
        teachers: the teachers; probabilities of several are averaged.
        divergence: divergence over the catalog.
        sft_share: share of the cross-entropy of the next items.
        state_share: share of ``unexplained_share`` of the teachers' states.
        continuation: settings of continued histories; None: do not continue histories.

    Source: Hinton et al. 2015, arXiv:1503.02531; Agarwal et al. 2024, arXiv:2306.13649, for
        continued histories; Romero et al. 2015, arXiv:1412.6550, for hidden states.
    """
    learned = TargetPositions.of(batch)
    item_weight, num_items = model.item_weight(), model.num_learned
    student = read_scores(model, batch, learned.positions, learned.labels, item_weight=item_weight)
    teacher_scores = teachers.scores(batch, learned.positions, learned.labels, num_items)
    losses = [
        divergence(
            member,
            teacher_scores,
            labels=learned.labels,
            label_share=sft_share,
            row_weight=learned.weight,
            total_weight=batch.total_weight,
        )
        for member in model.per_member(student)
    ]
    loss = torch.stack(losses).mean()
    if state_share:
        unexplained = [
            unexplained_share(student.hidden, teacher.hidden) for teacher in teacher_scores
        ]
        loss = (1 - state_share) * loss + state_share * torch.stack(unexplained).mean()
    if continuation is None or not continuation.share:
        return loss
    continued, positions = continue_histories(model, batch, continuation)
    if not len(positions):
        return loss
    teacher_scores = teachers.scores(continued, positions, num_items=num_items)
    own = read_scores(model, continued, positions, item_weight=item_weight)
    own_losses = [
        divergence(
            member,
            teacher_scores,
            labels=None,
            label_share=0.0,
            row_weight=torch.ones_like(positions, dtype=batch.label_weight.dtype),
            total_weight=float(len(positions)),
        )
        for member in model.per_member(own)
    ]
    return (1 - continuation.share) * loss + continuation.share * torch.stack(own_losses).mean()


def unexplained_share(
    student: Float[Tensor, "N D"], teacher: Float[Tensor, "N E"]
) -> Float[Tensor, ""]:
    """The share of variance of the teacher's states that the student's do not explain linearly.

    It is ``1 - R ** 2`` of the least-squares regression over the batch, in float32; the projection
    has no trained weights.

    Source: Kornblith et al. 2019, arXiv:1905.00414, the linear regression of table 1; the
        gradient takes the projection as given (envelope theorem).
    """
    with torch.autocast(student.device.type, enabled=False):
        student, teacher = student.float(), teacher.float()
        with torch.no_grad():
            gram = student.T @ student
            gram.diagonal().add_(1e-4 * gram.diagonal().mean() + 1e-12)
            projection = torch.linalg.solve(gram, student.T @ teacher)
        residual = (teacher - student @ projection).square().sum()
        return residual / teacher.square().sum().clamp_min(1e-12)


@torch.no_grad()
def continue_histories(
    model: SeqRecForNextItem,
    batch: PackedTensors,
    continuation: Continuation,
) -> tuple[PackedTensors, Int[Tensor, " N"]]:
    """Replace some items of each window, from a random position on, by items of the student.

    Items are drawn one after the other from the student's distributions, without dropout. Later
    items of the window and windows that are too short do not change.

    Returns:
        The batch, and the flat positions of the student's items.
    """
    num_items = continuation.num_items
    starts = _draw_positions(batch, num_items)
    batch = batch._replace(input_ids=batch.input_ids.clone())
    is_training = model.training
    model.eval()
    item_weight = model.item_weight()
    for step in range(num_items):
        scores = read_scores(model, batch, starts + step, item_weight=item_weight)
        drawn = draw_items(scores, continuation.temperature)
        tokens = model.config.item_blocks.encode(drawn).squeeze(-1)
        batch.input_ids.view(-1)[starts + step + 1] = tokens
    model.train(is_training)
    after = torch.arange(1, num_items + 1, device=starts.device)
    return batch, (starts[:, None] + after).flatten()


def _draw_positions(batch: PackedTensors, num_items: int) -> Int[Tensor, " W"]:
    """Return a random flat position of every window with ``num_items`` positions after it."""
    documents = batch.documents
    is_start = documents > 0
    is_start[:, 1:] &= documents[:, 1:] != documents[:, :-1]
    starts = is_start.flatten().nonzero().squeeze(1)
    number = (is_start.flatten().cumsum(0) - 1)[documents.flatten() > 0]
    room = torch.bincount(number, minlength=len(starts)) - num_items
    steps = (torch.rand(len(starts), device=documents.device) * room.clamp_min(1)).long()
    return (starts + steps)[room > 0]
