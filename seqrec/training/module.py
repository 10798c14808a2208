"""Lightning modules: loss and optimizer, and validation by ranking the full catalog."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Tensor, nn
from torchmetrics import MetricCollection

from seqrec.evaluation.metrics import metric_collection
from seqrec.evaluation.protocol import Queries, find_hits
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.reward import SeqRecForReward
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.training.accounting import Counts
from seqrec.training.optimizers import LazyAdamW, clip_gradients

Model = SeqRecForNextItem | SeqRecForReward
BatchLoss = Callable[[Any, Any], Float[Tensor, ""]]
"""Returns the loss of a model on a batch; settings are bound."""
ExtraMetrics = Callable[[SeqRecForNextItem], dict[str, float]]
"""Returns metrics beyond ranking at every validation."""

SELECTION = "val/selection"
PAST_TOLERANCE = -1.0
"""The selection metric of an epoch beyond the tolerance."""


class Tolerance(NamedTuple):
    """The validation metrics below which an epoch is not selected."""

    least: dict[str, float]
    """The smallest value allowed, by metric, such as ``val/ndcg@10``."""
    selection_metric: str
    """The metric that selects among the epochs within the tolerance."""

    def get_selection(self, metrics: dict[str, float]) -> float:
        """Return the selection value of an epoch with these metrics."""
        if any(metrics[key] < least for key, least in self.least.items()):
            return PAST_TOLERANCE
        return metrics[self.selection_metric]


class LearningModule(LightningModule):
    """A model, its loss and its optimizer; subclasses add the validation."""

    def __init__(
        self,
        model: Model,
        batch_loss: BatchLoss,
        optimizers: Callable[[nn.Module], dict[str, Any]],
        *,
        dtype: torch.dtype,
        gradient_clip: float,
    ) -> None:
        """Set the parts that the Trainer calls.

        Args:
            model: the trained model.
            batch_loss: returns the loss of the model on a batch.
            optimizers: builds optimizer and schedule, in Lightning's form.
            dtype: precision of the products in training.
            gradient_clip: largest norm of the gradient.
        """
        super().__init__()
        self.model: Any = model
        self.batch_loss = batch_loss
        self.build_optimizers = optimizers
        self.products_dtype = dtype
        self.gradient_clip = gradient_clip
        self.tolerance: Tolerance | None = None
        self.batch_counts = Counts()
        """Counts of the batch that is trained on."""

    @property
    def has_limits(self) -> bool:
        """True if epochs beyond some limits are not selected."""
        return self.tolerance is not None

    def on_before_batch_transfer(self, batch: Any, index: int) -> Any:
        """Count on the CPU: a number that is read from a GPU stops the queue of its kernels."""
        if self.trainer.training:
            documents = batch.documents
            useful = int((documents > 0).sum())
            self.batch_counts = Counts(1, documents.numel(), useful, batch.num_targets)
        return batch

    def take_epoch_metrics(self) -> dict[str, float]:
        """Return metrics of this epoch's training batches beside their loss."""
        return {}

    def configure_optimizers(self) -> Any:
        return self.build_optimizers(self.model)

    def training_step(self, batch: Any, _: int) -> Tensor:
        dtype = self.products_dtype
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            return self.batch_loss(self.model, batch)

    def optimizer_step(self, epoch: int, index: int, optimizer: Any, closure: Any = None) -> None:
        """Step, and free the gradients: the next forward pass needs the memory."""
        optimizer.step(closure=closure)
        optimizer.zero_grad()

    def on_validation_start(self) -> None:
        self.catch_up()

    def on_train_epoch_end(self) -> None:
        self.catch_up()

    def catch_up(self) -> None:
        """Update rows that a lazy optimizer has not touched, before the table is read or saved."""
        for optimizer in self.trainer.optimizers:
            if isinstance(optimizer, LazyAdamW):
                optimizer.catch_up()

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        clip_gradients(self.model, self.gradient_clip)


class TrainingModule(LearningModule):
    """A next-item model, validated by ranking the full catalog."""

    def __init__(
        self,
        model: SeqRecForNextItem,
        batch_loss: BatchLoss,
        optimizers: Callable[[nn.Module], dict[str, Any]],
        ranker: ModelRanker,
        ks: Sequence[int],
        *,
        dtype: torch.dtype,
        gradient_clip: float,
        extra_metrics: ExtraMetrics | None = None,
    ) -> None:
        """Set the parts that the Trainer calls.

        Args:
            model: the trained model.
            batch_loss: returns the loss of the model on a batch.
            optimizers: builds optimizer and schedule, in Lightning's form.
            ranker: ranks the catalog with the same model.
            ks: cut-offs of the validation metrics.
            dtype: precision of the products in training.
            gradient_clip: largest norm of the gradient.
            extra_metrics: returns metrics beyond ranking at every validation.
        """
        super().__init__(model, batch_loss, optimizers, dtype=dtype, gradient_clip=gradient_clip)
        self.ranker = ranker
        self.extra_metrics = extra_metrics
        self.ks = ks
        self.depth = max(ks)
        metrics = metric_collection(ks, ranker.num_items)
        self.metrics = MetricCollection(
            {key: metric for key, metric in metrics.items() if not key.startswith("coverage")},
            compute_groups=False,
            prefix="val/",
        )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, index: int) -> Any:
        """Leave queries on the CPU: the ranker builds its own tensors."""
        if isinstance(batch, Queries):
            return batch
        return super().transfer_batch_to_device(batch, device, index)

    def validation_step(self, queries: Queries, _: int) -> None:
        ranked = self.ranker.rank(queries.histories, self.depth)
        hits, num_targets = find_hits(ranked.items, queries.targets)
        self.metrics.update(hits.to(self.device), num_targets.to(self.device))

    def on_validation_epoch_end(self) -> None:
        values = {key: float(value) for key, value in self.metrics.compute().items()}
        self.metrics.reset()
        if self.extra_metrics is not None:
            values |= {f"val/{key}": value for key, value in self.extra_metrics(self.model).items()}
        if self.tolerance is not None:
            values[SELECTION] = self.tolerance.get_selection(values)
        self.log_dict(values)
