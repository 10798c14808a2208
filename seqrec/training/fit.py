"""Running the Trainer in a run folder: checkpoints, early stop, resume, the best weights."""

import logging
import warnings
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
    StopPastTolerance,
    Watch,
    WatchEpochs,
    WithoutDropout,
)
from seqrec.training.checkpoints import EpochCheckpoint, ResumeState, timed_checkpoint
from seqrec.training.epoch_log import EpochLog
from seqrec.training.loaders import PackedLoader, Validation
from seqrec.training.module import SELECTION, LearningModule

LOG_FILE = "log.jsonl"


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


def _quieten_lightning() -> None:
    """Keep to our own lines: no tips, no device lines, no advice about loader workers."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
