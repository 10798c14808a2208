"""Run the Trainer in a run folder: checkpoints, early stopping, resuming, the best weights."""

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from lightning import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from seqrec.errors import SeqRecError
from seqrec.training.accounting import Counts, Flops
from seqrec.training.callbacks import (
    AveragedWeights,
    Patience,
    ShouldStop,
    StopEarly,
    StopPastTolerance,
    WithoutDropout,
)
from seqrec.training.checkpoints import (
    BEST,
    CHECKPOINT_KEYS,
    LAST,
    EpochCheckpoint,
    ResumeState,
    SaveBest,
    StateFiles,
    TimedCheckpoint,
)
from seqrec.training.epoch_log import EpochLog
from seqrec.training.interrupts import Interrupts
from seqrec.training.loaders import PackedLoader, Validation
from seqrec.training.module import SELECTION, LearningModule
from seqrec.training.state_files import read_newest_state, read_state
from seqrec.training.trackers import NO_TRACKER, Tracker

LOG_FILE = "log.jsonl"


@dataclass(frozen=True)
class FitSettings:
    """Settings of the Trainer, under the names of the recipe's trainer block."""

    max_epochs: int
    patience: int
    """Epochs without a better selection metric after which training ends."""
    selection_metric: str
    """Validation metric that selects the epoch."""
    accelerator: str
    devices: int
    accumulate_batches: int
    """Batches whose gradients are added up in a step."""
    checkpoint_minutes: float
    ema_decay: float | None
    """Decay of averaged weights; None: weights are not averaged."""
    epochs_without_dropout: int
    """Number of epochs at the end of ``max_epochs`` that train without dropout."""
    selection_mode: str
    """``max`` if the largest selection metric is the best, else ``min``."""


class FitResult(NamedTuple):
    """Outcome of training; the model holds the selected weights."""

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
    count_flops: Callable[[Counts], Flops],
    should_stop: ShouldStop | None = None,
    save_best: SaveBest | None = None,
    tracker: Tracker = NO_TRACKER,
    more_callbacks: Sequence[Callback] = (),
) -> FitResult:
    """Train until the selection metric stops growing, and load the best weights into the model.

    Without validation queries it trains for ``max_epochs`` and keeps the last weights.
    Checkpoints go to ``folder/checkpoints`` at the end of every epoch, and within long ones.
    Training continues from the newest whole checkpoint, and ends as it would have without the
    interruption. With several devices each process calls this function.

    Args:
        module: model, loss and validation.
        loader: training batches.
        validation: batches that select the epoch.
        folder: folder of the log and the checkpoints.
        settings: settings of the Trainer.
        count_flops: returns the operations of the counted steps.
        should_stop: ends training early; needs one device and validation queries.
        save_best: writes the weights of every epoch that is better than those before it.
        tracker: repeats the log.
        more_callbacks: of this objective alone.

    Raises:
        SeqRecError: training diverged; the checkpoints are damaged or of another run.
    """
    checkpoints, has_validation = folder / "checkpoints", validation.num_queries > 0
    monitor = f"val/{settings.selection_metric}" if has_validation else None
    if has_validation and module.has_limits:
        monitor = SELECTION
    loader.batches_per_step = settings.accumulate_batches
    found = read_newest_state(checkpoints / LAST, CHECKPOINT_KEYS)
    interrupts, resume_state = Interrupts(), ResumeState(loader)
    callbacks: list[Callback] = [
        interrupts,
        EpochLog(
            folder / LOG_FILE,
            monitor,
            count_flops,
            module.products_dtype,
            tracker,
            mode=settings.selection_mode,
        ),
        *more_callbacks,
        resume_state,
    ]
    if monitor is not None:
        callbacks += _build_selection(monitor, checkpoints, settings, should_stop)
        if module.tolerance is not None:
            callbacks.append(StopPastTolerance())
    callbacks += _build_common(checkpoints, settings, interrupts)
    trainer = _build_trainer(settings, callbacks, StateFiles(save_best))
    ckpt_path = str(found[0]) if found is not None else None
    try:
        with interrupts:
            trainer.fit(
                module,
                loader,
                validation if has_validation else None,
                ckpt_path=ckpt_path,
                weights_only=True,
            )
    except SystemExit:
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise
    except SeqRecError:
        raise
    except Exception as error:
        if ckpt_path is None or resume_state.has_started:
            raise
        raise SeqRecError(
            f"{ckpt_path}: a checkpoint of another run; start again with --overwrite"
        ) from error
    if interrupts.is_ending():
        raise KeyboardInterrupt
    state = read_state(checkpoints / (BEST if has_validation else LAST), CHECKPOINT_KEYS)
    module.load_state_dict(state["state_dict"])
    return FitResult(state["epoch"] + 1, trainer.current_epoch, trainer.global_step, has_validation)


def _build_selection(
    monitor: str, checkpoints: Path, settings: FitSettings, should_stop: ShouldStop | None
) -> list[Callback]:
    """Return the callbacks that select the best epoch by validation and end training."""
    callbacks: list[Callback] = [
        Patience(monitor, mode=settings.selection_mode, patience=settings.patience),
        EpochCheckpoint(checkpoints, "best", monitor, settings.selection_mode),
    ]
    if should_stop is not None:
        callbacks.append(StopEarly(f"val/{settings.selection_metric}", should_stop))
    return callbacks


def _build_common(
    checkpoints: Path, settings: FitSettings, interrupts: Interrupts
) -> list[Callback]:
    """Return the callbacks of all runs, with and without validation."""
    callbacks: list[Callback] = [
        EpochCheckpoint(checkpoints, "last", None),
        TimedCheckpoint(checkpoints, settings.checkpoint_minutes, interrupts.is_ending),
    ]
    if settings.epochs_without_dropout:
        callbacks.append(WithoutDropout(settings.max_epochs - settings.epochs_without_dropout))
    if settings.ema_decay is not None:
        callbacks.append(AveragedWeights(settings.ema_decay))
    return callbacks


def _build_trainer(settings: FitSettings, callbacks: list[Callback], files: StateFiles) -> Trainer:
    _silence_lightning()
    return Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        strategy=DDPStrategy(broadcast_buffers=False) if settings.devices > 1 else "auto",
        use_distributed_sampler=False,
        max_epochs=settings.max_epochs,
        callbacks=callbacks,
        plugins=[files],
        accumulate_grad_batches=settings.accumulate_batches,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def get_device(accelerator: str) -> torch.device:
    """Return the device of work outside Lightning: a GPU if it is allowed and available."""
    if accelerator != "cpu" and accelerator != "mps" and torch.cuda.is_available():
        return torch.device("cuda")
    if accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def check_devices(accelerator: str, devices: int) -> None:
    """Check that the machine has these devices.

    Raises:
        SeqRecError: Lightning refuses them.
    """
    _silence_lightning()
    try:
        Trainer(accelerator=accelerator, devices=devices, logger=False, enable_checkpointing=False)
    except MisconfigurationException as error:
        reason = " ".join(str(error).split())
        raise SeqRecError(
            f"trainer.accelerator={accelerator}, trainer.devices={devices}: {reason}"
        ) from error


def _silence_lightning() -> None:
    """Silence Lightning's tips, device lines and advice about loader workers."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
