"""The Lightning module: an objective, an optimizer, validation by full-catalog ranking."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from lightning import LightningModule
from torch import Tensor, nn
from torchmetrics import MetricCollection

from seqrec.evaluation.metrics import hits_of, metric_collection
from seqrec.evaluation.protocol import Queries
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
        targets = [self.queries.targets[row] for row in rows]
        num_targets = torch.tensor([len(target) for target in targets])
        owners = torch.repeat_interleave(torch.arange(len(rows)), num_targets)
        flat = torch.from_numpy(np.concatenate(targets).astype(np.int64))
        self.metrics.update(hits_of(ranked.items, owners, flat), num_targets)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.metrics.compute())
        self.metrics.reset()
