"""Cost of preference optimisation: an epoch beside one of SFT, and the memory of a step."""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from benchmarks.engine.machine import forget_peak, memory_mb, peak_memory_mb
from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.prepared import prepared
from benchmarks.engine.rows import Row, at_most, row
from benchmarks.engine.steps import materialise_state
from benchmarks.preference.liked import DATA, MODULE, pairs_file, sft_run
from benchmarks.quality.table import RECIPES
from seqrec.builders.model import build_model
from seqrec.config.load import load_recipe
from seqrec.data.feedback.pairs import Pairs
from seqrec.data.feedback.ragged import Ragged
from seqrec.data.prepared import PreparedData
from seqrec.losses.catalog import IGNORE_INDEX, catalog_cross_entropy
from seqrec.losses.preference import dpo
from seqrec.models import SeqRecForNextItem
from seqrec.objectives.preference import PreferenceObjective
from seqrec.tokens.item_blocks import OneTokenItems
from seqrec.tokens.streams.pairs import PairStream
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.training.accounting import training_dtype
from seqrec.training.optimizers import adamw, clip_gradients
from seqrec.training.steps.preference import FrozenReference, preference_loss
from seqrec.training.tensors import PairTensors, as_tensors

NAME = Path(__file__).stem
RECIPE = RECIPES / "preference" / "dpo.yaml"
EPOCH = at_most(3)
CATALOGS, NUM_PAIRS = (3_416, 1_000_000), (256, 2_048)
LENGTH, NUM_SPECIAL = 100, 2
NUM_EPOCHS = 3


def measure(quick: bool) -> Iterator[Row]:
    """Epochs over the same batches, then memory by catalog and number of pairs."""
    data = prepared(DATA)
    start, pairs = sft_run(data, 0, quick), pairs_file(data)
    found = in_fresh_process(
        f"{MODULE}.{NAME}",
        data=str(data),
        start=str(start),
        pairs=str(pairs),
        num_epochs=1 if quick else NUM_EPOCHS,
    )
    for system in ("SFT", "DPO"):
        is_judged = system == "DPO"
        yield row(
            NAME,
            "ML-1M, an epoch over the histories of the pairs",
            found[system],
            "s",
            system=system,
            ratio=statistics.median(found[system]) / statistics.median(found["SFT"]),
            target=EPOCH if is_judged else None,
            note="with its reference and a tenth of SFT; ratio: to SFT" if is_judged else "",
            module=MODULE,
        )
    for num_items in CATALOGS[: 1 if quick else None]:
        for num_pairs in NUM_PAIRS:
            sizes = {"num_items": num_items, "num_pairs": num_pairs}
            answer = in_fresh_process(f"{MODULE}.{NAME}", **sizes)
            yield row(
                NAME,
                f"DPO, {num_items:,} items, {num_pairs:,} pairs a step: extra peak memory",
                [answer["extra_mb"]],
                "MB",
                note=f"one array of pairs by catalog: {num_items * num_pairs * 4 / 2**20:,.0f} MB",
                module=MODULE,
            )


def probe(**what: Any) -> dict[str, Any]:
    """Epochs of real pairs, or the memory of steps over a catalog without names."""
    return _memory(**what) if "num_items" in what else _epochs(**what)


def _epochs(data: str, start: str, pairs: str, num_epochs: int) -> dict[str, Any]:
    """Seconds of epochs, in turns."""
    overrides = [
        f"model.from_pretrained={start}",
        f"data.pairs={pairs}",
        "data.held_out_share=0.1",
        "trainer.accelerator=cpu",
    ]
    recipe = load_recipe(str(RECIPE), overrides)
    objective = PreferenceObjective.build(recipe, PreparedData.open(Path(data)))
    model = objective.model.train()
    losses: dict[str, Callable[[Any, Any], Tensor]] = {
        "SFT": _next_titles,
        "DPO": objective.setup.batch_loss,
    }
    seconds: dict[str, list[float]] = {name: [] for name in losses}
    for _ in range(num_epochs):
        for name, loss in losses.items():
            step = partial(_learn, model, loss, _optimizer(model))
            started = time.perf_counter()
            for batch in objective.setup.loader:
                step(batch)
            seconds[name].append(time.perf_counter() - started)
    return seconds


def _next_titles(model: SeqRecForNextItem, batch: PairTensors) -> Tensor:
    """SFT's loss on the histories of a batch of pairs."""
    return catalog_cross_entropy(
        model.hidden_states(batch.input_ids, batch.documents).flatten(0, 1),
        model.item_weight(),
        batch.labels.flatten(),
    )


def _optimizer(model: SeqRecForNextItem) -> Optimizer:
    return adamw(model, learning_rate=1e-6, weight_decay=0.0)


def _learn(
    model: SeqRecForNextItem,
    objective: Callable[[Any, Any], Tensor],
    optimizer: Optimizer,
    batch: PairTensors,
) -> None:
    dtype = training_dtype("auto", "cpu")
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        loss = objective(model, batch)
    loss.backward()
    clip_gradients(model, 1.0)
    optimizer.step()
    optimizer.zero_grad()


def _memory(num_items: int, num_pairs: int) -> dict[str, Any]:
    """Memory of a step above the weights of policy and reference and the optimizer's state."""
    torch.manual_seed(0)
    tokens = ItemTokens(OneTokenItems(NUM_SPECIAL, num_items), pad_token_id=0, unknown_token_id=1)
    policy, reference = (
        build_model(
            load_recipe("sft", [f"data.max_length={LENGTH}", "model.block=sasrec"]).model,
            tokens,
            vocab_size=NUM_SPECIAL + num_items,
            max_length=LENGTH,
            catalog_fingerprint="",
            tokenizer_fingerprint="",
        )
        for _ in range(2)
    )
    stream = PairStream(
        _pairs(num_items, num_pairs),
        np.arange(num_pairs),
        tokens,
        row_length=LENGTH,
        batch_size=num_pairs,
        ignore_index=IGNORE_INDEX,
    )
    batch = as_tensors(next(stream.in_order()))
    objective = partial(
        preference_loss,
        loss=partial(dpo, beta=0.1, label_smoothing=0.0),
        reference=FrozenReference(reference),
        sft_share=0.1,
    )
    optimizer = _optimizer(policy)
    materialise_state(optimizer)
    forget_peak()
    before = memory_mb()
    for _ in range(2):
        _learn(policy, objective, optimizer, batch)
    return {"extra_mb": peak_memory_mb() - before}


def _pairs(num_items: int, num_pairs: int) -> Pairs:
    """Histories of ten items, one pair each."""
    generator = np.random.default_rng(0)
    values = generator.integers(num_items, size=(num_pairs, 12))
    return Pairs(
        user_ids=[str(user) for user in range(num_pairs)],
        sources=[None] * num_pairs,
        histories=Ragged(values[:, :10].flatten(), np.full(num_pairs, 10)),
        chosen=values[:, 10:11],
        rejected=values[:, 11:, None],
        is_next=np.zeros(num_pairs, dtype=bool),
        weight=np.ones(num_pairs),
        fingerprint="",
        counts={},
    )
