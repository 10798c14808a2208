"""Lightning callbacks of ``fit``: averaged weights, dropout, early stops."""

from collections.abc import Callable
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, WeightAveraging
from torch import Tensor

from seqrec.training.module import PAST_TOLERANCE, SELECTION

EMA_STEPS = 8
"""Steps between two updates of averaged weights."""


ShouldStop = Callable[[int, float], bool]
"""Takes an epoch, from 0, and its selection metric; True ends training."""


class Patience(EarlyStopping):
    """Ends training after epochs without a better metric; a resumed run may set another number."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict({**state, "patience": self.patience})


class StopEarly(Callback):
    """Calls ``should_stop`` after every epoch, and ends training if it returns True."""

    def __init__(self, monitor: str, should_stop: ShouldStop) -> None:
        self.monitor = monitor
        self.should_stop = should_stop

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self.should_stop(trainer.current_epoch, float(trainer.callback_metrics[self.monitor])):
            trainer.should_stop = True


class AveragedWeights(WeightAveraging):
    """An exponential moving average of the weights; lazily updated rows are caught up first.

    At step ``n`` the decay is ``min(decay, (1 + n) / (10 + n))``, so that the random start and the
    first steps fade quickly.

    Source: the ``num_updates`` of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, decay: float) -> None:
        def average(mean: Tensor, now: Tensor, num_averaged: Tensor | int) -> Tensor:
            step = EMA_STEPS * int(num_averaged)
            remaining = min(decay, (1 + step) / (10 + step)) ** EMA_STEPS
            return mean.lerp(now, 1 - remaining)

        super().__init__(use_buffers=False, avg_fn=average)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx % EMA_STEPS == 0

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.should_update(step_idx=trainer.global_step - 1):
            module.catch_up()  # type: ignore[operator]
        super().on_train_batch_end(trainer, module, outputs, batch, batch_idx)


class WithoutDropout(Callback):
    """Trains without dropout from an epoch on.

    Source: Liu et al. 2023, arXiv:2303.01500, "early dropout".
    """

    def __init__(self, first_epoch: int) -> None:
        self.first_epoch = first_epoch

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, index: int
    ) -> None:
        """Check before each step, since a resumed run may start within an epoch."""
        if trainer.current_epoch >= self.first_epoch:
            module.model.eval()  # type: ignore[operator, union-attr]


class StopPastTolerance(Callback):
    """Ends a run in the first epoch whose loss of metrics exceeds the tolerance."""

    has_stopped = False
    """True after such an epoch; saved in checkpoints."""

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self.has_stopped = float(trainer.callback_metrics[SELECTION]) == PAST_TOLERANCE
        trainer.should_stop |= self.has_stopped

    def state_dict(self) -> dict[str, bool]:
        return {"has_stopped": self.has_stopped}

    def load_state_dict(self, state: dict[str, bool]) -> None:
        self.has_stopped = state["has_stopped"]

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        trainer.should_stop |= self.has_stopped
