"""Lightning module of a language model: validation by loss and perplexity, small checkpoints."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqrec.errors import SeqRecError
from seqrec.training.accounting import Counts, Flops
from seqrec.training.answer_guard import PAST_GUARD, AnswerGuard
from seqrec.training.module import SELECTION, LearningModule

ValidationSums = Callable[[Any, Any], dict[str, tuple[float, float]]]
"""Returns sum and count of each metric of a model on a batch."""
LOSS_KEY = "loss_nats"


class LanguageModule(LearningModule):
    """A causal language model with the loss of its texts.

    Checkpoints hold the weights that are trained, and no others.
    """

    def __init__(
        self,
        model: Any,
        batch_loss: Any,
        optimizers: Any,
        validation_sums: ValidationSums,
        *,
        perplexity_of: str | None,
        take_epoch_metrics: Callable[[], dict[str, float]] = dict,
        guard: AnswerGuard | None = None,
        dtype: torch.dtype,
        gradient_clip: float,
    ) -> None:
        """Set the parts that the Trainer calls.

        Args:
            model: the trained model.
            batch_loss: returns the loss of the model on a batch.
            optimizers: builds optimizer and schedule, in Lightning's form.
            validation_sums: returns sums and counts of metrics on a batch; ``loss_nats`` is one.
            perplexity_of: the metric that is the cross-entropy of tokens; None: none is.
            take_epoch_metrics: returns further metrics of an epoch's training batches.
            guard: an epoch beyond its limits is not selected.
            dtype: precision of the products in training and validation.
            gradient_clip: largest norm of the gradient.
        """
        super().__init__(model, batch_loss, optimizers, dtype=dtype, gradient_clip=gradient_clip)
        self.validation_sums = validation_sums
        self.perplexity_of = perplexity_of
        self.epoch_metrics = take_epoch_metrics
        self.guard = guard
        self.sums: dict[str, list[tuple[float, float]]] = {}

    @property
    def has_limits(self) -> bool:
        return self.guard is not None

    def validation_step(self, batch: Any, _: int) -> None:
        dtype = self.products_dtype
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            for key, pair in self.validation_sums(self.model, batch).items():
                self.sums.setdefault(key, []).append(pair)

    def on_validation_epoch_end(self) -> None:
        values = {f"val/{key}": mean(pairs) for key, pairs in self.sums.items()}
        self.sums = {}
        loss = values.get(f"val/{self.perplexity_of}")
        if loss is not None:
            values["val/perplexity"] = math.exp(min(loss, 700))
        if self.guard is not None:
            measured = self.guard.measure(self.model)
            is_within = self.guard.is_within(measured)
            values |= {f"val/{key}": value for key, value in measured.items()}
            values[SELECTION] = values[f"val/{LOSS_KEY}"] if is_within else PAST_GUARD
        self.log_dict(values)

    def take_epoch_metrics(self) -> dict[str, float]:
        return {f"train/{key}": value for key, value in self.epoch_metrics().items()}

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the trained weights."""
        trained = self._trained()
        whole = super().state_dict(*args, **kwargs)
        return {name: weight for name, weight in whole.items() if name in trained}

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load the trained weights.

        Raises:
            SeqRecError: they are those of another model.
        """
        if set(state) != self._trained():
            raise SeqRecError("a checkpoint of another run; start again with --overwrite")
        return super().load_state_dict(state, strict=False, assign=assign)

    def _trained(self) -> set[str]:
        return {name for name, weight in self.named_parameters() if weight.requires_grad}


def mean(pairs: list[tuple[float, float]]) -> float:
    """Return the mean of a metric of which parts have a sum and a count."""
    total = sum(count for _, count in pairs)
    return sum(part for part, _ in pairs) / total if total else 0.0


class TextValidation:
    """The batches of validation, as tensors."""

    def __init__(self, batches: Callable[[], Any], num_batches: int, num_queries: int) -> None:
        self.batches = batches
        self.num_batches = num_batches
        self.num_queries = num_queries

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Any:
        yield from self.batches()


def language_flops(model: Any, counts: Counts) -> Flops:
    """Return the operations of the matrix products in the counted steps.

    A weight takes two for each position forward and two for the gradient of its input; a trained
    one two more. The word head takes them for each target. Attention is left out, which is small
    for texts of some hundred tokens.
    """
    head = model.get_output_embeddings().weight
    tables = {id(head), id(model.get_input_embeddings().weight)}
    matrices = [one for one in model.parameters() if one.ndim == 2 and id(one) not in tables]
    per_position = sum((6 if one.requires_grad else 4) * one.numel() for one in matrices)
    per_target = (6 if head.requires_grad else 4) * head.numel()
    return Flops(counts.positions * per_position, counts.targets * per_target)


def count_sums(metrics: dict[str, Tensor]) -> dict[str, tuple[float, float]]:
    """Return sum and count of each metric's values."""
    return {key: (float(values.sum()), float(len(values))) for key, values in metrics.items()}
