"""What stands around the loop: the line of every epoch, its log, and the state of chance."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from seqrec.errors import SeqRecError
from seqrec.training.loaders import PackedLoader

LOSS = "train/loss_nats"


class EpochLog(Callback):
    """One JSON line an epoch in ``log.jsonl``, and one readable line on stderr."""

    def __init__(self, file: Path, monitor: str | None) -> None:
        self.file = file
        self.monitor = monitor
        self.best = float("-inf")
        self._positions = 0
        self._useful = 0
        self._seconds = 0.0
        self._started = 0.0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Drop the lines of epochs that a resumed run will do again."""
        lines = read_log(self.file) if self.file.exists() else []
        lines = [line for line in lines if line["epoch"] < trainer.current_epoch]
        self.file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        if self.monitor is not None:
            self.best = max((line[self.monitor] for line in lines), default=float("-inf"))

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._positions = self._useful = 0
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self._positions += batch.documents.numel()
        self._useful += int((batch.documents > 0).sum())

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._seconds = time.perf_counter() - self._started
        _check_finite(trainer, module)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        _check_finite(trainer, module)
        seconds = self._seconds or time.perf_counter() - self._started
        metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
        line = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            **metrics,
            "train_seconds": round(seconds, 3),
            "tokens_per_second": round(self._useful / seconds),
            "useful_share": round(self._useful / self._positions, 4),
        }
        with self.file.open("a") as log:
            log.write(json.dumps(line) + "\n")
        validation = ""
        if self.monitor is not None:
            value = metrics[self.monitor]
            validation = f"  {self.monitor} {value:.4f}{' *' if value > self.best else '  '}"
            self.best = max(self.best, value)
        print(
            f"epoch {line['epoch'] + 1:3d}  loss {metrics[LOSS]:.4f}{validation}"
            f"  {line['tokens_per_second']:,} tokens/s  {seconds:.1f} s",
            file=sys.stderr,
            flush=True,
        )


def _check_finite(trainer: Trainer, module: LightningModule) -> None:
    if not all(parameter.isfinite().all() for parameter in module.parameters()):
        raise SeqRecError(
            f"training diverged in epoch {trainer.current_epoch + 1}: weights are no finite "
            "numbers any more; lower trainer.learning_rate"
        )


class ResumeState(Callback):
    """Keeps in checkpoints what Lightning does not, so that a resumed run ends as if it had run on.

    That is the random state; the loader's place, which Lightning forgets at the end of an epoch;
    and that the run had stopped early.
    """

    def __init__(self, loader: PackedLoader) -> None:
        self.loader = loader
        self._restored: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        return {
            "random_state": torch.get_rng_state(),
            "cuda_random_states": torch.cuda.get_rng_state_all(),
            "loader": self.loader.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._restored = state
        self.loader.load_state_dict(state["loader"])

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        if self._restored is None:
            return
        torch.set_rng_state(self._restored["random_state"].cpu())
        states = [state.cpu() for state in self._restored["cuda_random_states"]]
        if len(states) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(states)
        for early in trainer.early_stopping_callbacks:
            trainer.should_stop |= early.wait_count >= early.patience


class EpochCheckpoint(ModelCheckpoint):
    """One file, ``NAME.ckpt``: of the best epoch by a metric, or of the last one."""

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
        """Also where the run folder has another name by now."""
        file = str(Path(str(self.dirpath)) / f"{self.filename}.ckpt")
        scores = list(state["best_k_models"].values())
        models = {file: scores[0]} if scores else {}
        here = {"dirpath": self.dirpath, "best_model_path": file, "kth_best_model_path": file}
        super().load_state_dict({**state, **here, "best_k_models": models})


def read_log(file: Path) -> list[dict[str, Any]]:
    """The lines of a ``log.jsonl``; one cut short by a crash is left out."""
    lines = []
    for text in file.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
