"""A run that is cut off within an epoch and resumed, against one that is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from safetensors.torch import load_file

import seqrec
from benchmarks.engine.rows import Row
from benchmarks.gpu.losses import relative_error
from benchmarks.gpu.place import Place
from benchmarks.gpu.world import build_world
from seqrec.training.epoch_log import EpochLog

NAME = Path(__file__).stem
BOUND = 1e-5
"""Largest relative difference of the weights; on a GPU sums may be in another order."""
CUT_AT = 3
"""Step of the optimizer before which the run is cut off."""


class CutOff(Exception):
    """The interruption of a run."""


def measure(place: Place) -> Iterator[Row]:
    """Yield the difference of the final weights."""
    world = build_world(place)
    settings = world.overrides(
        f"trainer.accelerator={place.accelerator}",
        "trainer.precision=float32",
        "trainer.checkpoint_minutes=1e-9",
        "model.dropout=0.1",
    )
    runs = {name: place.folder / "resuming" / name for name in ("whole", "cut")}
    arguments: dict[str, Any] = {"data": world.data, "overrides": settings}
    seqrec.train("sft", out=runs["whole"], overwrite=True, **arguments)
    plain = EpochLog.on_train_batch_start

    def cut_off(self: Any, trainer: Any, *more: Any) -> None:
        if trainer.global_step == CUT_AT:
            raise CutOff
        plain(self, trainer, *more)

    with patch.object(EpochLog, "on_train_batch_start", cut_off):
        try:
            seqrec.train("sft", out=runs["cut"], overwrite=True, **arguments)
        except CutOff:
            pass
    seqrec.train("sft", out=runs["cut"], resume=True, **arguments)
    whole, cut = (read_weights(run) for run in runs.values())
    error = relative_error(cut, whole)
    yield place.check_at_most(NAME, "sft: relative difference of the weights", error, BOUND)


def read_weights(run: Path) -> torch.Tensor:
    """Return all weights of a run, one after the other."""
    parts = load_file(run / "model" / "model.safetensors")
    return torch.cat([parts[key].double().flatten() for key in sorted(parts)])
