"""A training step as the Trainer makes it, and the batches that go through it."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from torch.optim import Optimizer

from benchmarks.engine.measure import Failed
from benchmarks.engine.prepared import Missing, prepared
from benchmarks.engine.rows import Row, not_measured
from seqrec.config.load import load_recipe
from seqrec.config.recipe import Recipe
from seqrec.data.prepared import PreparedData
from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.objectives.sft import SFTObjective
from seqrec.training.loaders import PackedLoader
from seqrec.training.module import TrainingModule
from seqrec.training.tensors import PackedTensors

NUM_WARM_UP = 5
HIDDEN_SIZE, INNER_SIZE, NUM_BLOCKS, NUM_HEADS = 64, 256, 2, 2
"""The size of all timed models, including the peers'."""
PARAMETER_BYTES = 4
STATES = 3
"""The weights and AdamW's two moments."""


@dataclass(frozen=True)
class Work:
    """A data set, and how long histories are read and in which batches."""

    data: str
    title: str
    max_length: int
    batch_size: int

    @property
    def folder(self) -> str:
        """Facts of the prepared data."""
        return str(prepared(self.data))

    @property
    def overrides(self) -> list[str]:
        """The shipped recipe ``sft`` as SASRec, of the peers' size."""
        return [
            "model.block=sasrec",
            f"model.hidden_size={HIDDEN_SIZE}",
            f"model.intermediate_size={INNER_SIZE}",
            f"model.num_hidden_layers={NUM_BLOCKS}",
            f"model.num_attention_heads={NUM_HEADS}",
            f"data.max_length={self.max_length}",
            f"data.batch_size={self.batch_size}",
            "trainer.accelerator=cpu",
        ]


WORKS = {
    work.data: work
    for work in (
        Work("beauty", "Beauty, length 50", max_length=50, batch_size=64),
        Work("ml-1m", "ML-1M A, length 200", max_length=200, batch_size=16),
    )
}


def for_each_work(
    name: str,
    rows_of: Callable[[Work], Iterator[Row]],
    module: str = "benchmarks.engine",
) -> Iterator[Row]:
    """The rows of both data sets, or a row that says why one has none."""
    for work in WORKS.values():
        try:
            yield from rows_of(work)
        except (Missing, Failed) as reason:
            yield not_measured(name, work.title, reason, module)


def build_objective(work: Work, folder: str, *overrides: str) -> tuple[Recipe, SFTObjective]:
    """Build what ``seqrec train sft`` would train on a prepared folder."""
    recipe = load_recipe("sft", [*work.overrides, *overrides])
    objective = SFTObjective.build(recipe, PreparedData.open(folder))
    objective.model.use_sparse_gradients(objective.setup.use_sparse_gradients)
    return recipe, objective


def batches_of(loader: PackedLoader, num_batches: int) -> list[PackedTensors]:
    """The next batches, through as many epochs as that takes."""
    batches: list[PackedTensors] = []
    while len(batches) < num_batches:
        batches += islice(loader, num_batches - len(batches))
    return batches


class TrainingStep:
    """Loss, gradients, their clipping, and the optimizer's step: what the Trainer calls."""

    def __init__(self, module: TrainingModule) -> None:
        self.module = module.train()
        configured = module.configure_optimizers()
        self.optimizer: Optimizer = configured["optimizer"]
        self.schedule = configured["lr_scheduler"]["scheduler"]

    def __call__(self, batch: PackedTensors) -> float:
        """Make a step and answer its seconds."""
        started = time.perf_counter()
        loss: Tensor = self.module.training_step(batch, 0)
        loss.backward()
        self.module.configure_gradient_clipping()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        return time.perf_counter() - started

    def seconds_of(self, batches: Sequence[PackedTensors]) -> list[float]:
        """The seconds of each step after a few that warm up."""
        return [self(batch) for batch in batches][NUM_WARM_UP:]


def materialise_state(optimizer: Optimizer) -> None:
    """Give an optimizer the state it would make in its first step, every page touched."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = {
                "step": torch.zeros(()),
                "exp_avg": torch.empty_like(parameter).fill_(0.0),
                "exp_avg_sq": torch.empty_like(parameter).fill_(0.0),
            }


def state_mb(module: TrainingModule) -> float:
    """The size of weights and optimizer state, in MiB."""
    num_parameters = sum(parameter.numel() for parameter in module.model.parameters())
    return num_parameters * PARAMETER_BYTES * STATES / 2**20


def num_targets(batch: PackedTensors) -> int:
    """Positions of a batch whose next item is learned."""
    return int((batch.labels != IGNORE_INDEX).sum())


def num_useful(batch: PackedTensors) -> int:
    """Positions of a batch that hold a token."""
    return int((batch.documents > 0).sum())
