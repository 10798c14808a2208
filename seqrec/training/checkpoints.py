"""Checkpoints of the best and the last epoch and within long epochs, with the resume state."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from torch import Tensor

from seqrec.training.loaders import PackedLoader
from seqrec.training.state_files import write_state

LAST, BEST = "last.ckpt", "best.ckpt"
CHECKPOINT_KEYS = (
    "state_dict",
    "optimizer_states",
    "lr_schedulers",
    "loops",
    "callbacks",
    "epoch",
    "global_step",
)
"""Parts of a checkpoint without which no run continues."""


SaveBest = Callable[[dict[str, Tensor]], None]
"""Writes the model's weights of the best epoch so far."""
MODEL_PREFIX = "model."


class StateFiles(TorchCheckpointIO):
    """Writes checkpoints by ``write_state``; the one before the last is kept."""

    def __init__(self, save_best: SaveBest | None = None) -> None:
        super().__init__()
        self.save_best = save_best

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, *_: Any, **__: Any) -> None:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_state(checkpoint, file, keep_previous=file.name == LAST)
        if file.name == BEST and self.save_best is not None:
            weights = checkpoint["state_dict"].items()
            self.save_best({name.removeprefix(MODEL_PREFIX): weight for name, weight in weights})


class ResumeState(Callback):
    """Adds state to checkpoints, so that a resumed run ends as an uninterrupted one would.

    The state is the random state of every process and the loader's position, which Lightning drops
    at the end of an epoch. A run that had stopped early stays stopped.
    """

    has_started = False
    """True once training runs; until then a checkpoint may turn out to be of another run."""

    def __init__(self, loader: PackedLoader) -> None:
        self.loader = loader
        self._restored: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
        return {
            "random_states": gather_processes(torch.get_rng_state()),
            "cuda_random_states": gather_processes(cuda),
            "loader": self.loader.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._restored = state
        self.loader.load_state_dict(state["loader"])

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        rank = trainer.global_rank
        self.has_started = True
        if self._restored is None:
            if rank:
                torch.manual_seed(torch.initial_seed() + rank)
            return
        if not rank:
            file = Path(str(trainer.ckpt_path)).name
            step = trainer.global_step
            print(f"continues from {file}, after step {step}", file=sys.stderr, flush=True)
        states, cuda = (self._restored[f"{kind}random_states"] for kind in ("", "cuda_"))
        if len(states) == trainer.world_size:
            torch.set_rng_state(states[rank].cpu())
            if cuda[rank] is not None and torch.cuda.is_available():
                torch.cuda.set_rng_state(cuda[rank].cpu())
        for early in trainer.early_stopping_callbacks:
            trainer.should_stop |= early.wait_count >= early.patience


def gather_processes(value: Any) -> list[Any]:
    """Return the values of all processes, by rank."""
    if not torch.distributed.is_initialized():
        return [value]
    values = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


class EpochCheckpoint(ModelCheckpoint):
    """Saves one file, ``NAME.ckpt``: the best epoch by a metric, or the last one."""

    def __init__(self, folder: Path, name: str, monitor: str | None, mode: str = "max") -> None:
        super().__init__(
            dirpath=folder,
            filename=name,
            monitor=monitor,
            mode=mode,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best score, also if the run folder has been renamed."""
        file = str(Path(str(self.dirpath)) / f"{self.filename}.ckpt")
        scores = list(state["best_k_models"].values())
        models = {file: scores[0]} if scores else {}
        here = {"dirpath": self.dirpath, "best_model_path": file, "kth_best_model_path": file}
        super().load_state_dict({**state, **here, "best_k_models": models})


class TimedCheckpoint(Checkpoint):
    """Saves ``last.ckpt`` at an interval within an epoch; ends training after it when told to.

    Nothing is saved after the last batch of an epoch: validation follows, and then the checkpoint
    of the epoch, so that no checkpoint lies between training and validation. Nor is anything saved
    within a step, whose gradients no checkpoint holds.
    """

    def __init__(self, folder: Path, minutes: float, is_ending: Callable[[], bool]) -> None:
        self.file = folder / LAST
        self.seconds = 60 * minutes
        self.is_ending = is_ending
        self._saved_at = time.monotonic()

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        is_within_step = (index + 1) % trainer.accumulate_grad_batches != 0
        if is_within_step or trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        is_due = time.monotonic() - self._saved_at >= self.seconds
        if not _any_process(trainer, is_due or self.is_ending()):
            return
        trainer.save_checkpoint(self.file)
        self._saved_at = time.monotonic()
        if _any_process(trainer, self.is_ending()):
            raise KeyboardInterrupt

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """End after the checkpoint of the epoch before."""
        if trainer.current_epoch and _any_process(trainer, self.is_ending()):
            raise KeyboardInterrupt


def _any_process(trainer: Trainer, decision: bool) -> bool:
    """Return True if a process decides so: all must save, or none."""
    return trainer.strategy.reduce_boolean_decision(decision, all=False)
