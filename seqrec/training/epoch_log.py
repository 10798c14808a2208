"""The log of epochs: lines of ``log.jsonl``, and readable lines on stderr."""

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from seqrec.errors import SeqRecError
from seqrec.files import parse_json, read_text
from seqrec.training.accounting import Counts, Flops, product_rate
from seqrec.training.checkpoints import gather_processes
from seqrec.training.trackers import NO_TRACKER, Tracker

LOSS = "train/loss_nats"
PROGRESS_SECONDS = 30


class EpochLog(Callback):
    """Writes a JSON line per epoch to ``log.jsonl``, and a readable line to stderr.

    Long epochs also report their progress.
    """

    def __init__(
        self,
        file: Path,
        monitor: str | None,
        count_flops: Callable[[Counts], Flops],
        dtype: torch.dtype,
        tracker: Tracker = NO_TRACKER,
        *,
        mode: str = "max",
    ) -> None:
        """Start counting.

        Args:
            file: file of the log.
            monitor: metric that selects the best epoch; None without validation.
            count_flops: returns the operations of the counted steps.
            dtype: precision of the products in training.
            tracker: repeats the lines.
            mode: ``max`` if the largest metric is the best, else ``min``.
        """
        self.tracker = tracker
        self.sign = 1.0 if mode == "max" else -1.0
        self.file = file
        self.monitor = monitor
        self.count_flops = count_flops
        self.dtype = dtype
        self.best = float("-inf")
        self.product_rate = 0.0
        """Operations per second of matrix products, all processes together."""
        self._restored: list[dict[str, Any]] = []
        self._counts = Counts()
        self._loss: Any = 0.0
        self._seconds = 0.0
        self._resumed_at: float | None = None
        self._reported_at = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        self._stop_clock()
        here = {"counts": list(self._counts), "loss": float(self._loss), "seconds": self._seconds}
        return {"processes": gather_processes(here)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._restored = state["processes"]

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Restore the counts, and drop the lines of epochs that a resumed run repeats."""
        if len(self._restored) == trainer.world_size:
            here = self._restored[trainer.global_rank]
            self._counts = Counts(*here["counts"])
            self._loss, self._seconds = here["loss"], here["seconds"]
        rate = product_rate(self.dtype, trainer.strategy.root_device)
        self.product_rate = float(_sum(trainer, rate))
        if not trainer.is_global_zero:
            return
        lines = read_log(self.file) if self.file.exists() else []
        lines = [line for line in lines if line["epoch"] < trainer.current_epoch]
        aside = self.file.with_name(f"{self.file.name}.new")
        aside.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        aside.replace(self.file)
        if self.monitor is not None:
            self.best = max(
                (self.sign * line[self.monitor] for line in lines), default=float("-inf")
            )

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._start_clock()

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, index: int
    ) -> None:
        self._start_clock()

    def _start_clock(self) -> None:
        if self._resumed_at is None:
            self._resumed_at = self._reported_at = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self._loss = self._loss + outputs["loss"].detach()
        self._counts = self._counts.plus(module.batch_counts)  # type: ignore[arg-type]
        now = time.perf_counter()
        if now - self._reported_at > PROGRESS_SECONDS and trainer.is_global_zero:
            self._reported_at = now
            self._print_progress(trainer)

    def _print_progress(self, trainer: Trainer) -> None:
        """Print the progress of the epoch, with this process's speed and loss."""
        counts, seconds = self._counts, self._seconds
        if self._resumed_at is not None:
            seconds += time.perf_counter() - self._resumed_at
        share = counts.steps / trainer.num_training_batches
        print(
            f"epoch {trainer.current_epoch + 1:3d}  {share:4.0%}"
            f"  loss {float(self._loss) / _count_steps(trainer, counts.steps):.4f}"
            f"  {counts.useful / seconds:,.0f} tokens/s",
            file=sys.stderr,
            flush=True,
        )

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._stop_clock()
        _check_finite(trainer, module)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._stop_clock()
        _check_finite(trainer, module)
        steps = self._counts.steps
        counts = Counts(*map(int, _sum(trainer, self._counts)))
        num_losses = _count_steps(trainer, steps) * trainer.world_size
        loss = float(_sum(trainer, float(self._loss))) / num_losses
        seconds = self._seconds
        flops = self.count_flops(counts)
        line = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            LOSS: loss,
            **module.take_epoch_metrics(),  # type: ignore[operator]
            **{key: float(value) for key, value in trainer.callback_metrics.items()},
            "train_seconds": round(seconds, 3),
            "tokens_per_second": round(counts.useful / seconds),
            "useful_share": round(counts.useful / counts.positions, 4),
            "decoder_gflops": round(flops.decoder / 1e9, 1),
            "head_gflops": round(flops.head / 1e9, 1),
            "share_of_product_rate": round(sum(flops) / seconds / self.product_rate, 4),
        }
        self._counts, self._loss, self._seconds = Counts(), 0.0, 0.0
        if trainer.is_global_zero:
            self._write(line)

    def _stop_clock(self) -> None:
        if self._resumed_at is not None:
            self._seconds += time.perf_counter() - self._resumed_at
            self._resumed_at = None

    def _write(self, line: dict[str, Any]) -> None:
        with self.file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        self.tracker.log(line, line["step"])
        validation = ""
        if self.monitor is not None:
            value = line[self.monitor]
            validation = (
                f"  {self.monitor} {value:.4f}{' *' if self.sign * value > self.best else '  '}"
            )
            self.best = max(self.best, self.sign * value)
        gflops = line["decoder_gflops"] + line["head_gflops"]
        gflops_per_second = gflops / line["train_seconds"]
        print(
            f"epoch {line['epoch'] + 1:3d}  loss {line[LOSS]:.4f}{validation}"
            f"  {line['tokens_per_second']:,} tokens/s, {line['useful_share']:.0%} useful"
            f"  {gflops_per_second:,.0f} GFLOP/s,"
            f" {line['share_of_product_rate']:.0%} of product rate"
            f"  {line['train_seconds']:.1f} s",
            file=sys.stderr,
            flush=True,
        )


def _count_steps(trainer: Trainer, num_batches: int) -> int:
    """Return the steps that some batches make, whose losses Lightning has divided by their size."""
    return math.ceil(num_batches / trainer.accumulate_grad_batches)


def _sum(trainer: Trainer, values: Any) -> Any:
    """Return the sums over all processes."""
    if trainer.world_size == 1:
        return torch.tensor(values, dtype=torch.float64)
    here = torch.tensor(values, dtype=torch.float64, device=trainer.strategy.root_device)
    return trainer.strategy.reduce(here, reduce_op="sum")


def _check_finite(trainer: Trainer, module: LightningModule) -> None:
    if not all(parameter.isfinite().all() for parameter in module.parameters()):
        raise SeqRecError(
            f"training diverged in epoch {trainer.current_epoch + 1}: weights are not finite; "
            "lower trainer.learning_rate"
        )


def read_log(file: Path) -> list[dict[str, Any]]:
    """Return the lines of a ``log.jsonl``; a line cut short by a crash ends them."""
    lines = []
    for text in read_text(file, "it is the log of a run").splitlines():
        try:
            lines.append(parse_json(text))
        except ValueError:
            break
    return lines
