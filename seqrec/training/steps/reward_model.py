"""Training of reward models: loss, predictions and validation of likes."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqrec.evaluation.likes import like_metrics
from seqrec.models.reward import SeqRecForReward
from seqrec.tokens.streams.base import WindowStream
from seqrec.training.module import LearningModule
from seqrec.training.tensors import RewardTensors, as_tensors, move_batch


def reward_logits(model: SeqRecForReward, batch: RewardTensors) -> Float[Tensor, "M S"]:
    """Return the logits of a batch's answers, by member: means over the items of each answer."""
    hidden = model.hidden_states(batch.input_ids, batch.ratings, batch.documents)
    return model.slate_logits(hidden[batch.rows, batch.columns], batch.slates)


def reward_loss(model: SeqRecForReward, batch: RewardTensors) -> Float[Tensor, ""]:
    """The binary cross-entropy of the labels, a mean over the batch's answers, in nats.

    The members of an ensemble are trained independently: the loss is the sum of theirs.
    """
    logits = reward_logits(model, batch).float()
    labels = batch.labels.expand_as(logits)
    losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    return losses / max(batch.total_weight, 1.0)


class RewardLoader:
    """Answers that select the epoch or evaluate the model, the same in every process."""

    def __init__(self, stream: WindowStream) -> None:
        self.stream = stream
        self.num_queries = int(stream.num_predictions.sum())

    def __len__(self) -> int:
        return self.stream.num_batches

    def __iter__(self) -> Iterator[RewardTensors]:
        for batch in self.stream.in_order():
            yield as_tensors(batch)


class PredictedLikes(NamedTuple):
    """A model's predictions for some answers."""

    events: Int[np.ndarray, " N"]
    """Index of each answer among the rated events or labels."""
    probabilities: Float[np.ndarray, " N"]
    labels: Float[np.ndarray, " N"]

    @classmethod
    def of(cls, model: SeqRecForReward, batch: RewardTensors) -> "PredictedLikes":
        """Predict a batch: the sigmoid of the members' mean logit."""
        probabilities = torch.sigmoid(reward_logits(model, batch).double().mean(dim=0))
        parts = batch.events, probabilities, batch.labels.double()
        return cls(*(part.cpu().numpy() for part in parts))

    @classmethod
    def join(cls, parts: Iterable["PredictedLikes"]) -> "PredictedLikes":
        """Concatenate parts in the order of the answers."""
        events, probabilities, labels = map(np.concatenate, zip(*parts, strict=True))
        order = np.argsort(events)
        return cls(events[order], probabilities[order], labels[order])

    @property
    def metrics(self) -> dict[str, float]:
        """``auc``, ``calibration_error`` and ``log_loss_nats``."""
        return like_metrics(self.probabilities, self.labels)


@torch.no_grad()
def predict_likes(model: SeqRecForReward, loader: RewardLoader) -> PredictedLikes:
    """Return the model's predictions for all answers, in float32 and without dropout."""
    model.eval()
    return PredictedLikes.join(
        PredictedLikes.of(model, move_batch(batch, model.device)) for batch in loader
    )


class RewardModule(LearningModule):
    """A reward model, validated on the likes of held-out users; every process validates all."""

    def __init__(
        self,
        model: SeqRecForReward,
        optimizers: Callable[[nn.Module], dict[str, Any]],
        *,
        dtype: torch.dtype,
        gradient_clip: float,
    ) -> None:
        super().__init__(model, reward_loss, optimizers, dtype=dtype, gradient_clip=gradient_clip)
        self._predicted: list[PredictedLikes] = []

    def validation_step(self, batch: RewardTensors, _: int) -> None:
        self._predicted.append(PredictedLikes.of(self.model, batch))

    def on_validation_epoch_end(self) -> None:
        metrics = PredictedLikes.join(self._predicted).metrics
        self._predicted.clear()
        self.log_dict({f"val/{key}": value for key, value in metrics.items()})
