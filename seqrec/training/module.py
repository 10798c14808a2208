"""The Lightning module: an objective, an optimizer, validation by full-catalog ranking."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from lightning import LightningModule
from torch import Tensor, nn
from torchmetrics import MetricCollection

from seqrec.evaluation.metrics import metric_collection
from seqrec.evaluation.protocol import Queries, hits_among
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.recommender import Ranker
from seqrec.training.callbacks import LOSS

Objective = Callable[[SeqRecForNextItem, Any], Float[Tensor, ""]]


class TrainingModule(LightningModule):
    """A model under an objective; objectives differ in nothing else."""

    def __init__(
        self,
        model: SeqRecForNextItem,
        objective: Objective,
        optimizers: Callable[[nn.Module], dict[str, Any]],
        ranker: Ranker,
        queries: Queries,
        ks: Sequence[int],
    ) -> None:
        """Hold what the Trainer calls.

        Args:
            model: what is trained.
            objective: loss of a batch under the model.
            optimizers: from the model to optimizer and schedule, as Lightning wants them.
            ranker: the same model, asked for lists.
            queries: histories and targets of the validation.
            ks: cut-offs of the validation's metrics.
        """
        super().__init__()
        self.model = model
        self.objective = objective
        self.optimizers_of = optimizers
        self.ranker = ranker
        self.queries = queries
        self.depth = max(ks)
        metrics = metric_collection(ks, ranker.num_items)
        self.metrics = MetricCollection(
            {key: metric for key, metric in metrics.items() if not key.startswith("coverage")},
            compute_groups=False,
            prefix="val/",
        )

    def configure_optimizers(self) -> Any:
        return self.optimizers_of(self.model)

    def training_step(self, batch: Any, _: int) -> Tensor:
        loss = self.objective(self.model, batch)
        self.log(LOSS, loss, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def validation_step(self, rows: Int[np.ndarray, " Q"], _: int) -> None:
        ranked = self.ranker.rank([self.queries.histories[row] for row in rows], self.depth)
        hits, num_targets = hits_among(ranked.items, [self.queries.targets[row] for row in rows])
        self.metrics.update(hits.to(self.device), num_targets.to(self.device))

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.metrics.compute())
        self.metrics.reset()
