"""Running the Trainer in a run folder: checkpoints, early stopping, resuming, the best weights."""

import logging
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from seqrec.errors import SeqRecError
from seqrec.training.accounting import training_flops
from seqrec.training.callbacks import (
    AveragedWeights,
    Interrupts,
    ShouldStop,
    StopEarly,
    StopPastTolerance,
    WithoutDropout,
)
from seqrec.training.checkpoints import EpochCheckpoint, ResumeState, timed_checkpoint
from seqrec.training.epoch_log import EpochLog
from seqrec.training.loaders import PackedLoader, Validation
from seqrec.training.module import SELECTION, LearningModule

LOG_FILE = "log.jsonl"


@dataclass(frozen=True)
class FitSettings:
    """Settings of the Trainer, under the names of the recipe's trainer block."""

    max_epochs: int
    patience: int
    """Epochs without a better selection metric after which training ends."""
    selection_metric: str
    """Validation metric that chooses the epoch."""
    accelerator: str
    devices: int
    checkpoint_minutes: float
    ema_decay: float | None
    """Decay of averaged weights; None: weights are not averaged."""
    epochs_without_dropout: int
    """Last epochs, of ``max_epochs``, that drop nothing."""


class FitResult(NamedTuple):
    """What training did; the model holds the weights that it chose."""

    best_epoch: int | None
    """The epoch of these weights, counted from 1; None without epochs."""
    num_epochs: int
    num_steps: int
    has_validation: bool


def fit(
    module: LearningModule,
    loader: PackedLoader,
    validation: Validation,
    folder: Path,
    settings: FitSettings,
    *,
    num_scored: int,
    should_stop: ShouldStop | None = None,
) -> FitResult:
    """Train until the selection metric stops growing, and leave the best weights in the model.

    Without validation queries it trains for ``max_epochs`` and keeps the last weights.
    Checkpoints go to ``folder/checkpoints`` at the end of every epoch, and within long ones; if
    one is there already, training continues from it and ends as it would have without the
    interruption. With several devices this is one of as many processes that call it.

    Args:
        module: model, loss and validation.
        loader: training batches.
        validation: batches that choose the epoch.
        folder: for the log and the checkpoints.
        settings: of the Trainer.
        num_scored: items that a target is scored against, itself among them.
        should_stop: ends training early; needs one device, and validation queries.
    """
    checkpoints, has_validation = folder / "checkpoints", validation.num_queries > 0
    monitor = f"val/{settings.selection_metric}" if has_validation else None
    if has_validation and module.tolerance is not None:
        monitor = SELECTION
    interrupts = Interrupts()
    flops_of = partial(
        training_flops, module.model, row_length=loader.stream.row_length, num_scored=num_scored
    )
    callbacks: list[Callback] = [
        interrupts,
        EpochLog(folder / LOG_FILE, monitor, flops_of, module.products_dtype),
        ResumeState(loader),
    ]
    if monitor is not None:
        callbacks += _selection(monitor, checkpoints, settings, should_stop)
        if module.tolerance is not None:
            callbacks.append(StopPastTolerance())
    callbacks += _every_run(checkpoints, settings)
    trainer = _trainer(settings, callbacks)
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


def _selection(
    monitor: str, checkpoints: Path, settings: FitSettings, should_stop: ShouldStop | None
) -> list[Callback]:
    """Callbacks that choose the best epoch by validation, and end training."""
    callbacks: list[Callback] = [
        EarlyStopping(monitor, mode="max", patience=settings.patience),
        EpochCheckpoint(checkpoints, "best", monitor),
    ]
    if should_stop is not None:
        callbacks.append(StopEarly(f"val/{settings.selection_metric}", should_stop))
    return callbacks


def _every_run(checkpoints: Path, settings: FitSettings) -> list[Callback]:
    """Callbacks of runs with and without validation."""
    callbacks: list[Callback] = [
        EpochCheckpoint(checkpoints, "last", None),
        timed_checkpoint(checkpoints, "last", settings.checkpoint_minutes),
    ]
    if settings.epochs_without_dropout:
        callbacks.append(WithoutDropout(settings.max_epochs - settings.epochs_without_dropout))
    if settings.ema_decay is not None:
        callbacks.append(AveragedWeights(settings.ema_decay))
    return callbacks


def _trainer(settings: FitSettings, callbacks: list[Callback]) -> Trainer:
    _quieten_lightning()
    return Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        strategy=DDPStrategy(broadcast_buffers=False) if settings.devices > 1 else "auto",
        use_distributed_sampler=False,
        max_epochs=settings.max_epochs,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def device_of(accelerator: str) -> torch.device:
    """The device of work outside Lightning: a GPU if the setting allows it and one is there."""
    use_gpu = accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if use_gpu else "cpu")


def check_devices(accelerator: str, devices: int) -> None:
    """Check that the machine has these devices.

    Raises:
        SeqRecError: it has not.
    """
    _quieten_lightning()
    try:
        Trainer(accelerator=accelerator, devices=devices, logger=False, enable_checkpointing=False)
    except MisconfigurationException as error:
        reason = " ".join(str(error).split())
        raise SeqRecError(
            f"trainer.accelerator={accelerator}, trainer.devices={devices}: {reason}"
        ) from error


def _quieten_lightning() -> None:
    """Silence Lightning's tips, device lines and advice about loader workers."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
