"""Memory and time of a training step against the size of the catalog, without a tokenizer.

Extra memory is the peak of a few steps above what the process held just before the first one,
when weights and optimizer state were there already, every page touched. Gradients are extra, and
so are the decoder's activations; ``loss alone`` has neither decoder nor optimizer, so that what
is left is the head. Histories and targets are uniform over the catalog and drawn anew for every
step, the worst case for steps that touch only the rows they use.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.engine.machine import forget_peak, memory_mb, peak_memory_mb
from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.rows import Row, at_most, row
from benchmarks.engine.steps import TrainingStep, materialise_state
from seqrec.builders.model import build_model, build_optimizers
from seqrec.config.load import load_recipe
from seqrec.config.objective import SampledConfig
from seqrec.config.recipe import Recipe
from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.objectives.sft import build_batch_loss
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.training.accounting import training_dtype
from seqrec.training.module import TrainingModule
from seqrec.training.tensors import PackedTensors

NAME = Path(__file__).stem
LENGTH = 128
NUM_TARGETS = (2_048, 8_192)
NUM_SPECIAL = 2
FULL, SAMPLED, LOSS_ALONE = "full", "sampled", "loss alone"
TITLES = {
    FULL: "full cross-entropy, step",
    SAMPLED: "sampled softmax, 512 negatives, sparse rows, step",
    LOSS_ALONE: "full cross-entropy, loss alone",
}
CATALOGS = {
    FULL: (10_000, 100_000, 1_000_000),
    LOSS_ALONE: (1_000_000,),
    SAMPLED: (10_000, 100_000, 1_000_000, 10_000_000),
}
LARGE = 1_000_000
"""Items of the catalog that the targets are about."""
QUICK_ITEMS = 100_000
MEMORY_MB, FLAT, STEP_RATIO = at_most(1024), at_most(1.1), at_most(2)
LOGITS_A_RUN = 1.6e10
"""About: steps of the full softmax over large catalogs are few."""
OVERRIDES = {
    FULL: ["objective.loss.name=cross_entropy"],
    SAMPLED: ["objective.loss.name=sampled_softmax", "objective.loss.num_negatives=512"],
}


def measure(quick: bool) -> Iterator[Row]:
    """Rows by loss, catalog and number of targets."""
    for kind, catalogs in CATALOGS.items():
        sizes = sorted({min(n, QUICK_ITEMS) for n in catalogs} if quick else catalogs)
        smallest: dict[int, float] = {}
        for num_items in sizes:
            extra: dict[int, list[float]] = {}
            for num_targets in NUM_TARGETS[1:] if kind == SAMPLED else NUM_TARGETS:
                case = Case(kind, num_items, num_targets)
                answers = case.answers(quick)
                seconds = statistics.median(answer["step_seconds"] for answer in answers)
                ratio = seconds / smallest.setdefault(num_targets, seconds)
                yield case.time_row(answers, ratio, sizes[0])
                extra[num_targets] = [answer["extra_mb"] for answer in answers]
                yield case.memory_row(answers)
            if len(extra) > 1:
                few, many = map(statistics.median, extra.values())
                yield row(
                    NAME,
                    f"{TITLES[kind]}, {num_items:,} items: memory at {num_targets:,} targets",
                    extra[num_targets],
                    "MB",
                    ratio=many / few,
                    target=FLAT if num_items == LARGE else None,
                    note=f"ratio: to {NUM_TARGETS[0]:,} targets",
                )


class Case(NamedTuple):
    """A loss over a catalog, and how many targets a step has."""

    kind: str
    num_items: int
    num_targets: int

    def answers(self, quick: bool) -> list[dict[str, Any]]:
        """Medians over a few processes."""
        num_steps = 30
        if self.kind != SAMPLED:
            logits = self.num_items * self.num_targets
            num_steps = int(min(max(LOGITS_A_RUN // logits, 2), 30))
        sizes = {**self._asdict(), "num_steps": 2 if quick else num_steps}
        return [in_fresh_process(NAME, **sizes) for _ in range(1 if quick else 3)]

    def time_row(self, answers: Sequence[dict[str, Any]], ratio: float, smallest: int) -> Row:
        """The time of a step and its ratio to the step of the smallest catalog."""
        is_judged = self.kind == SAMPLED and self.num_items == LARGE
        return row(
            NAME,
            f"{self}: time",
            [1000 * answer["step_seconds"] for answer in answers],
            "ms",
            ratio=ratio,
            target=STEP_RATIO if is_judged else None,
            note=f"ratio: to {smallest:,} items",
            facts={**self._asdict(), "figure": "time"},
        )

    def memory_row(self, answers: Sequence[dict[str, Any]]) -> Row:
        """Above weights and optimizer state."""
        is_judged = self.kind == FULL and self.num_items == LARGE
        return row(
            NAME,
            f"{self}: extra peak memory",
            [answer["extra_mb"] for answer in answers],
            "MB",
            target=MEMORY_MB if is_judged else None,
            note=f"{answers[0]['before_mb']:,.0f} MB before: Python, weights, optimizer",
            facts={**self._asdict(), "figure": "memory"},
        )

    def __str__(self) -> str:
        return f"{TITLES[self.kind]}, {self.num_items:,} items, {self.num_targets:,} targets"


def probe(kind: str, num_items: int, num_targets: int, num_steps: int) -> dict[str, Any]:
    """The median of the steps after the first, and the memory they took."""
    torch.manual_seed(0)
    if kind == LOSS_ALONE:
        once = _loss_alone(num_items, num_targets)
    else:
        step = TrainingStep(build_untrained(load_recipe("sft", _overrides(kind)), num_items))
        materialise_state(step.optimizer)

        def once() -> float:
            return step(_batch(num_items, num_targets))

    forget_peak()
    before = memory_mb()
    seconds = [once() for _ in range(1 + num_steps)]
    return {
        "step_seconds": statistics.median(seconds[1:]),
        "before_mb": before,
        "extra_mb": peak_memory_mb() - before,
    }


def _overrides(kind: str) -> list[str]:
    return [
        "model.block=sasrec",
        f"data.max_length={LENGTH}",
        "trainer.accelerator=cpu",
        *OVERRIDES[kind],
    ]


def build_untrained(recipe: Recipe, num_items: int) -> TrainingModule:
    """The model that ``seqrec train`` would train, for items without names."""
    tokens = ItemTokens(OneTokenItems(NUM_SPECIAL, num_items), pad_token_id=0, unknown_token_id=1)
    model = build_model(
        recipe.model,
        tokens,
        vocab_size=NUM_SPECIAL + num_items,
        max_length=recipe.data.max_length,
        catalog_fingerprint="",
        tokenizer_fingerprint="",
    )
    settings = recipe.objective.loss
    model.use_sparse_gradients(isinstance(settings, SampledConfig) and settings.sparse)
    item_counts = torch.ones(num_items, dtype=torch.long).numpy()
    return TrainingModule(
        model,
        build_batch_loss(recipe.objective, item_counts),
        partial(build_optimizers, recipe, 1),
        ModelRanker("untrained", model, tokens),
        (10,),
        dtype=training_dtype(recipe.trainer.precision, recipe.trainer.accelerator),
        gradient_clip=recipe.trainer.gradient_clip,
    )


def _batch(num_items: int, num_targets: int) -> PackedTensors:
    """Full rows, every position with a target."""
    shape = num_targets // LENGTH, LENGTH
    return PackedTensors(
        input_ids=torch.randint(num_items, shape) + NUM_SPECIAL,
        documents=torch.ones(shape, dtype=torch.long),
        labels=torch.randint(num_items, shape),
        label_weight=torch.ones(shape),
        total_weight=float(num_targets),
    )


def _loss_alone(num_items: int, num_targets: int) -> Any:
    """A function that forms the loss and its gradients once, and answers the seconds."""
    width = load_recipe("sft").model.hidden_size
    item_weight = torch.randn(num_items, width).mul_(0.02).requires_grad_()
    hidden = torch.randn(num_targets, width).requires_grad_()
    dtype = training_dtype("auto", "cpu")

    def once() -> float:
        item_weight.grad = hidden.grad = None
        labels = torch.randint(num_items, (num_targets,))
        started = time.perf_counter()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = catalog_cross_entropy(hidden, item_weight, labels)
        loss.backward()
        return time.perf_counter() - started

    return once
