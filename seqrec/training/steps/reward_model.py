"""Training of reward models: how good an answer to a history is, by what it was labelled."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqrec.evaluation.likes import metrics_of_likes
from seqrec.models.reward import SeqRecForReward
from seqrec.tokens.streams.base import WindowStream
from seqrec.training.module import LearningModule
from seqrec.training.tensors import RewardTensors, as_tensors, move_batch


def reward_logits(model: SeqRecForReward, batch: RewardTensors) -> Float[Tensor, "M S"]:
    """The logits of a batch's answers being liked, by judge: the mean over each one's titles."""
    hidden = model.hidden_states(batch.input_ids, batch.ratings, batch.documents)
    return model.judge_slates(hidden[batch.rows, batch.columns], batch.slates)


def reward_loss(model: SeqRecForReward, batch: RewardTensors) -> Float[Tensor, ""]:
    """Binary cross-entropy of how good answers are, a mean over the batch's, in nats.

    Every judge learns from its own: a sum over judges.
    """
    logits = reward_logits(model, batch).float()
    labels = batch.labels.expand_as(logits)
    losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    return losses / max(batch.total_weight, 1.0)


class RewardLoader:
    """Events that are judged by, the same in every process."""

    def __init__(self, stream: WindowStream) -> None:
        self.stream = stream
        self.num_queries = int(stream.num_predictions.sum())

    def __len__(self) -> int:
        return self.stream.num_batches

    def __iter__(self) -> Iterator[RewardTensors]:
        for batch in self.stream.in_order():
            yield as_tensors(batch)


class Judged(NamedTuple):
    """What a model said of some events."""

    events: Int[np.ndarray, " N"]
    probabilities: Float[np.ndarray, " N"]
    labels: Float[np.ndarray, " N"]

    @classmethod
    def of(cls, model: SeqRecForReward, batch: RewardTensors) -> "Judged":
        said = torch.sigmoid(reward_logits(model, batch).double().mean(dim=0))
        parts = batch.events, said, batch.labels.double()
        return cls(*(part.cpu().numpy() for part in parts))

    @classmethod
    def together(cls, parts: Iterable["Judged"]) -> "Judged":
        """In the order of the events."""
        events, probabilities, labels = map(np.concatenate, zip(*parts, strict=True))
        order = np.argsort(events)
        return cls(events[order], probabilities[order], labels[order])

    @property
    def metrics(self) -> dict[str, float]:
        """``auc``, ``calibration_error`` and ``log_loss_nats``."""
        return metrics_of_likes(self.probabilities, self.labels)


@torch.no_grad()
def judged(model: SeqRecForReward, loader: RewardLoader) -> Judged:
    """What a model says of all events, in float32 and without dropout."""
    model.eval()
    return Judged.together(Judged.of(model, move_batch(batch, model.device)) for batch in loader)


class RewardModule(LearningModule):
    """Validation is by likes of people who are not learned from; every process judges all."""

    def __init__(
        self,
        model: SeqRecForReward,
        optimizers: Callable[[nn.Module], dict[str, Any]],
        *,
        dtype: torch.dtype,
        gradient_clip: float,
    ) -> None:
        super().__init__(model, reward_loss, optimizers, dtype=dtype, gradient_clip=gradient_clip)
        self._judged: list[Judged] = []

    def validation_step(self, batch: RewardTensors, _: int) -> None:
        self._judged.append(Judged.of(self.model, batch))

    def on_validation_epoch_end(self) -> None:
        found = Judged.together(self._judged).metrics
        self._judged.clear()
        self.log_dict({f"val/{key}": value for key, value in found.items()})
