"""The reward model: every rated title of a history is a like or is not, told what was before."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seqrec.evaluation.likes import metrics_of_likes
from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.models.reward import SeqRecForReward
from seqrec.tokens.rated import RatedBatch, RatedStream
from seqrec.training.module import LearningModule


class RatedTensors(NamedTuple):
    """A ``RatedBatch`` as tensors."""

    input_ids: Int[Tensor, "B T"]
    ratings: Int[Tensor, "B T"]
    documents: Int[Tensor, "B T"]
    candidates: Int[Tensor, "B T"]
    labels: Float[Tensor, "B T"]
    events: Int[Tensor, "B T"]
    total_weight: float

    @classmethod
    def of(cls, batch: RatedBatch) -> "RatedTensors":
        input_ids, ratings, documents, candidates, labels, events = map(torch.from_numpy, batch[:6])
        return cls(input_ids, ratings, documents, candidates, labels, events, batch.total_weight)

    @property
    def is_asked(self) -> Bool[Tensor, "B T"]:
        """Positions whose next title is a candidate."""
        return self.candidates != IGNORE_INDEX

    @property
    def num_targets(self) -> int:
        """Rows that go through the head."""
        return int(self.is_asked.sum())


def reward_logits(model: SeqRecForReward, batch: RatedTensors) -> Float[Tensor, " N"]:
    """The logits of a batch's candidates being liked, row by row."""
    hidden = model.hidden_states(batch.input_ids, batch.ratings, batch.documents)
    is_asked = batch.is_asked
    return model.judge(hidden[is_asked], batch.candidates[is_asked])


def reward_loss(model: SeqRecForReward, batch: RatedTensors) -> Float[Tensor, ""]:
    """Binary cross-entropy of likes, a mean over the batch's candidates, in nats."""
    logits = reward_logits(model, batch).float()
    losses = F.binary_cross_entropy_with_logits(
        logits, batch.labels[batch.is_asked], reduction="sum"
    )
    return losses / max(batch.total_weight, 1.0)


class RatedLoader:
    """Events that are judged by, the same in every process."""

    def __init__(self, stream: RatedStream) -> None:
        self.stream = stream
        self.num_queries = int(stream.num_rated.sum())

    def __len__(self) -> int:
        return self.stream.num_batches

    def __iter__(self) -> Iterator[RatedTensors]:
        for batch in self.stream.in_order():
            yield RatedTensors.of(batch)


class Judged(NamedTuple):
    """What a model said of some events."""

    events: Int[np.ndarray, " N"]
    probabilities: Float[np.ndarray, " N"]
    labels: Float[np.ndarray, " N"]

    @classmethod
    def of(cls, model: SeqRecForReward, batch: RatedTensors) -> "Judged":
        is_asked = batch.is_asked
        said = torch.sigmoid(reward_logits(model, batch).double())
        return cls(
            batch.events[is_asked].cpu().numpy(),
            said.cpu().numpy(),
            batch.labels[is_asked].double().cpu().numpy(),
        )

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
def judged(model: SeqRecForReward, loader: RatedLoader) -> Judged:
    """What a model says of all events, in float32 and without dropout."""
    model.eval()
    return Judged.together(
        Judged.of(model, RatedTensors(*(_to(part, model.device) for part in batch)))  # type: ignore[arg-type]
        for batch in loader
    )


def _to(part: Any, device: torch.device) -> Any:
    return part.to(device) if isinstance(part, Tensor) else part


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

    def validation_step(self, batch: RatedTensors, _: int) -> None:
        self._judged.append(Judged.of(self.model, batch))

    def on_validation_epoch_end(self) -> None:
        found = Judged.together(self._judged).metrics
        self._judged.clear()
        self.log_dict({f"val/{key}": value for key, value in found.items()})
