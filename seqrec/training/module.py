"""The Lightning modules: an objective and an optimizer, and validation by full-catalog ranking."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Tensor, nn
from torchmetrics import MetricCollection

from seqrec.evaluation.metrics import metric_collection
from seqrec.evaluation.protocol import Queries, hits_among
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.reward import SeqRecForReward
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.training.optimizers import LazyAdamW, clip_gradients

Model = SeqRecForNextItem | SeqRecForReward
Objective = Callable[[Any, Any], Float[Tensor, ""]]
Watched = Callable[[SeqRecForNextItem], dict[str, float]]
"""What else is measured at every validation."""

SELECTION = "val/selection"
PAST_TOLERANCE = -1.0
"""The selection metric of an epoch that lost more than is tolerated."""


class Tolerance(NamedTuple):
    """What an epoch may lose of the validation's metrics and still be chosen."""

    least: dict[str, float]
    """By metric, such as ``val/ndcg@10``."""
    selection_metric: str
    """What chooses among the epochs that lost no more."""

    def selection(self, metrics: dict[str, float]) -> float:
        """What an epoch of such metrics is chosen by."""
        if any(metrics[key] < least for key, least in self.least.items()):
            return PAST_TOLERANCE
        return metrics[self.selection_metric]


class LearningModule(LightningModule):
    """A model under an objective; how it is validated is left to those who fill that in."""

    def __init__(
        self,
        model: Model,
        objective: Objective,
        optimizers: Callable[[nn.Module], dict[str, Any]],
        *,
        dtype: torch.dtype,
        gradient_clip: float,
    ) -> None:
        """Hold what the Trainer calls.

        Args:
            model: what is trained.
            objective: loss of a batch under the model.
            optimizers: from the model to optimizer and schedule, as Lightning wants them.
            dtype: of the products in training.
            gradient_clip: largest norm of the gradient.
        """
        super().__init__()
        self.model: Any = model
        self.objective = objective
        self.optimizers_of = optimizers
        self.products_dtype = dtype
        self.gradient_clip = gradient_clip
        self.tolerance: Tolerance | None = None

    def configure_optimizers(self) -> Any:
        return self.optimizers_of(self.model)

    def training_step(self, batch: Any, _: int) -> Tensor:
        dtype = self.products_dtype
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            return self.objective(self.model, batch)

    def optimizer_step(self, epoch: int, index: int, optimizer: Any, closure: Any = None) -> None:
        """Gradients end with their step: the next forward pass needs the memory."""
        optimizer.step(closure=closure)
        optimizer.zero_grad()

    def on_validation_start(self) -> None:
        self.catch_up()

    def on_train_epoch_end(self) -> None:
        self.catch_up()

    def catch_up(self) -> None:
        """Rows that an optimizer left behind, before the whole table is read or saved."""
        for optimizer in self.trainer.optimizers:
            if isinstance(optimizer, LazyAdamW):
                optimizer.catch_up()

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        clip_gradients(self.model, self.gradient_clip)


class TrainingModule(LearningModule):
    """Validated by ranking the full catalog; objectives differ in nothing else."""

    def __init__(
        self,
        model: SeqRecForNextItem,
        objective: Objective,
        optimizers: Callable[[nn.Module], dict[str, Any]],
        ranker: ModelRanker,
        ks: Sequence[int],
        *,
        dtype: torch.dtype,
        gradient_clip: float,
        watched: Watched | None = None,
    ) -> None:
        """Hold what the Trainer calls.

        Args:
            model: what is trained.
            objective: loss of a batch under the model.
            optimizers: from the model to optimizer and schedule, as Lightning wants them.
            ranker: the same model, asked for lists.
            ks: cut-offs of the validation's metrics.
            dtype: of the products in training.
            gradient_clip: largest norm of the gradient.
            watched: what else is measured at every validation.
        """
        super().__init__(model, objective, optimizers, dtype=dtype, gradient_clip=gradient_clip)
        self.ranker = ranker
        self.watched = watched
        self.ks = ks
        self.depth = max(ks)
        metrics = metric_collection(ks, ranker.num_items)
        self.metrics = MetricCollection(
            {key: metric for key, metric in metrics.items() if not key.startswith("coverage")},
            compute_groups=False,
            prefix="val/",
        )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, index: int) -> Any:
        """Queries stay as they are: the ranker makes its own tensors."""
        if isinstance(batch, Queries):
            return batch
        return super().transfer_batch_to_device(batch, device, index)

    def validation_step(self, queries: Queries, _: int) -> None:
        ranked = self.ranker.rank(queries.histories, self.depth)
        hits, num_targets = hits_among(ranked.items, queries.targets)
        self.metrics.update(hits.to(self.device), num_targets.to(self.device))

    def on_validation_epoch_end(self) -> None:
        found = {key: float(value) for key, value in self.metrics.compute().items()}
        self.metrics.reset()
        if self.watched is not None:
            found |= {f"val/{key}": value for key, value in self.watched(self.model).items()}
        if self.tolerance is not None:
            found[SELECTION] = self.tolerance.selection(found)
        self.log_dict(found)
