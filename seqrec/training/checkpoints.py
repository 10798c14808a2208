"""Checkpoints of the best and the last epoch and within long epochs, with the resume state."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from seqrec.training.loaders import PackedLoader


class ResumeState(Callback):
    """Adds state to checkpoints, so that a resumed run ends as an uninterrupted one would.

    The state is the random state of every process and the loader's position, which Lightning drops
    at the end of an epoch. A run that had stopped early stays stopped.
    """

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
        if self._restored is None:
            if rank:
                torch.manual_seed(torch.initial_seed() + rank)
            return
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

    def __init__(self, folder: Path, name: str, monitor: str | None) -> None:
        super().__init__(
            dirpath=folder,
            filename=name,
            monitor=monitor,
            mode="max",
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


def timed_checkpoint(folder: Path, name: str, minutes: float) -> ModelCheckpoint:
    """Build the callback that saves ``NAME.ckpt`` at an interval, also within an epoch."""
    return ModelCheckpoint(
        dirpath=folder,
        filename=name,
        train_time_interval=timedelta(minutes=minutes),
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )
