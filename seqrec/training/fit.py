"""Running the Trainer in a run folder: checkpoints, early stop, resume, the best weights."""

import logging
import signal
import threading
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, WeightAveraging
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from seqrec.errors import SeqRecError
from seqrec.training.accounting import training_flops
from seqrec.training.checkpoints import EpochCheckpoint, ResumeState, timed_checkpoint
from seqrec.training.epoch_log import EpochLog
from seqrec.training.loaders import PackedLoader, Validation
from seqrec.training.module import PAST_TOLERANCE, SELECTION, LearningModule

LOG_FILE = "log.jsonl"

EMA_STEPS = 8
"""Steps between two updates of averaged weights."""

Watch = Callable[[int, float], bool]
"""Told an epoch, from 0, and its selection metric; True ends the training."""


class FitResult(NamedTuple):
    """How training went."""

    best_epoch: int
    """Counted from 1; its weights are the ones that the model now holds."""
    num_epochs: int
    num_steps: int
    has_validation: bool


def fit(
    module: LearningModule,
    loader: PackedLoader,
    validation: Validation,
    folder: Path,
    *,
    max_epochs: int,
    patience: int,
    selection_metric: str,
    accelerator: str,
    devices: int,
    checkpoint_minutes: float,
    ema_decay: float | None,
    epochs_without_dropout: int,
    num_scored: int,
    watch: Watch | None = None,
) -> FitResult:
    """Train until the selection metric stops growing, and leave the best weights in the model.

    Without validation queries it trains for ``max_epochs`` and keeps the last weights.
    Checkpoints go to ``folder/checkpoints`` at the end of every epoch, and within long ones; if
    one is there already, training goes on from it and ends as it would have without the
    interruption. With several devices this is one of as many processes that call it; ``watch``
    needs one device, and validation queries.
    """
    checkpoints = folder / "checkpoints"
    has_validation = validation.num_queries > 0
    monitor = f"val/{selection_metric}" if has_validation else None
    if has_validation and module.tolerance is not None:
        monitor = SELECTION
    flops_of = partial(
        training_flops,
        module.model,
        row_length=loader.stream.row_length,
        num_scored=num_scored,
    )
    interrupts = Interrupts()
    callbacks: list[Callback] = [
        interrupts,
        EpochLog(folder / LOG_FILE, monitor, flops_of, module.products_dtype),
        ResumeState(loader),
    ]
    if monitor is not None:
        callbacks.append(EarlyStopping(monitor, mode="max", patience=patience))
        callbacks.append(EpochCheckpoint(checkpoints, "best", monitor))
        if watch is not None:
            callbacks.append(WatchEpochs(f"val/{selection_metric}", watch))
        if module.tolerance is not None:
            callbacks.append(StopPastTolerance())
    callbacks.append(EpochCheckpoint(checkpoints, "last", None))
    callbacks.append(timed_checkpoint(checkpoints, "last", checkpoint_minutes))
    if epochs_without_dropout:
        callbacks.append(WithoutDropout(max_epochs - epochs_without_dropout))
    if ema_decay is not None:
        callbacks.append(AveragedWeights(ema_decay))
    _quieten_lightning()
    trainer = Trainer(
        accelerator=accelerator,
        devices=devices,
        strategy=DDPStrategy(broadcast_buffers=False) if devices > 1 else "auto",
        use_distributed_sampler=False,
        max_epochs=max_epochs,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    last = checkpoints / "last.ckpt"
    try:
        with interrupts:
            trainer.fit(
                module,
                loader,
                validation if has_validation else None,
                ckpt_path=str(last) if last.exists() else None,
                weights_only=True,
            )
    except SystemExit:
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise
    best = checkpoints / "best.ckpt" if has_validation else last
    state = torch.load(best, weights_only=True, map_location="cpu")
    module.load_state_dict(state["state_dict"])
    return FitResult(state["epoch"] + 1, trainer.current_epoch, trainer.global_step, has_validation)


def device_of(accelerator: str) -> torch.device:
    """The device that work outside Lightning is done on: a GPU, if wanted and there."""
    wants_gpu = accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if wants_gpu else "cpu")


def check_devices(accelerator: str, devices: int) -> None:
    """See that there are such devices.

    Raises:
        SeqRecError: there are not.
    """
    _quieten_lightning()
    try:
        Trainer(accelerator=accelerator, devices=devices, logger=False, enable_checkpointing=False)
    except MisconfigurationException as error:
        reason = " ".join(str(error).split())
        raise SeqRecError(
            f"trainer.accelerator={accelerator}, trainer.devices={devices}: {reason}"
        ) from error


class Interrupts(Callback):
    """Ends a run before its next step where an interrupt was lost.

    Python drops what is raised in a finaliser, a ``KeyboardInterrupt`` too.
    """

    def __init__(self) -> None:
        self._is_asked = self._is_hearing = False

    def __enter__(self) -> None:
        """Hear interrupts from here on, in the main thread, where nobody else does."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._hear)
            self._is_hearing = True

    def __exit__(self, *_: object) -> None:
        if self._is_hearing:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _hear(self, *_: object) -> None:
        self._is_asked = True
        raise KeyboardInterrupt

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, index: int
    ) -> None:
        if self._is_asked:
            raise KeyboardInterrupt


class WatchEpochs(Callback):
    """Tells ``watch`` of every epoch, and stops where it says so."""

    def __init__(self, monitor: str, watch: Watch) -> None:
        self.monitor = monitor
        self.watch = watch

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self.watch(trainer.current_epoch, float(trainer.callback_metrics[self.monitor])):
            trainer.should_stop = True


class AveragedWeights(WeightAveraging):
    """An exponential average of the weights, each of which is up to date when it is read.

    Of what it was, step ``n`` keeps ``min(decay, (1 + n) / (10 + n))``: the random start and the
    first steps fade as fast as there is something better.

    Source: the ``num_updates`` of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, decay: float) -> None:
        def averaged(mean: Tensor, now: Tensor, num_averaged: Tensor | int) -> Tensor:
            step = EMA_STEPS * int(num_averaged)
            kept = min(decay, (1 + step) / (10 + step)) ** EMA_STEPS
            return mean.lerp(now, 1 - kept)

        super().__init__(use_buffers=False, avg_fn=averaged)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx % EMA_STEPS == 0

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.should_update(step_idx=trainer.global_step - 1):
            module.catch_up()  # type: ignore[operator]
        super().on_train_batch_end(trainer, module, outputs, batch, batch_idx)


class WithoutDropout(Callback):
    """From an epoch on the model is trained as it is asked: nothing is dropped.

    Source: Liu et al. 2023, arXiv:2303.01500, "early dropout".
    """

    def __init__(self, first_epoch: int) -> None:
        self.first_epoch = first_epoch

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, index: int
    ) -> None:
        """Before each step, since a run may go on within an epoch."""
        if trainer.current_epoch >= self.first_epoch:
            module.model.eval()  # type: ignore[operator, union-attr]


class StopPastTolerance(Callback):
    """Ends a run in the epoch that lost more than is tolerated."""

    has_stopped = False

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self.has_stopped = float(trainer.callback_metrics[SELECTION]) == PAST_TOLERANCE
        trainer.should_stop |= self.has_stopped

    def state_dict(self) -> dict[str, bool]:
        return {"has_stopped": self.has_stopped}

    def load_state_dict(self, state: dict[str, bool]) -> None:
        self.has_stopped = state["has_stopped"]

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        trainer.should_stop |= self.has_stopped


def _quieten_lightning() -> None:
    """Keep to our own lines: no tips, no device lines, no advice about loader workers."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
