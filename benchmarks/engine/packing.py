"""Packed rows against padded ones, a window a row, with the same windows in both arms.

Both arms drop positions without a target before the head. The padded arm is timed with as many
rows at once as the packed one has, and with all windows of the packed batch at once; the faster
of the two counts.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.rows import Row, at_least, row
from benchmarks.engine.steps import (
    NUM_WARM_UP,
    WORKS,
    TrainingStep,
    Work,
    batches_of,
    build_objective,
    for_each_work,
    num_useful,
)
from seqrec.losses.catalog import IGNORE_INDEX
from seqrec.training.module import TrainingModule
from seqrec.training.tensors import PackedTensors

NAME = Path(__file__).stem
PARTS = {"decoder": "decoder alone, forward and backward", "step": "whole training step"}
ARMS = ("packed", "padded")
TARGETS = {("decoder", "beauty"): at_least(4.7)}


def measure(quick: bool) -> Iterator[Row]:
    """Rows of both data sets: an arm a row, time per position that holds a token."""
    yield from for_each_work(NAME, lambda work: rows_of(work, quick))


def rows_of(work: Work, quick: bool) -> Iterator[Row]:
    """Rows of one data set."""
    runs = [
        in_fresh_process(NAME, data=work.data, folder=work.folder, num_batches=1 if quick else 30)
        for _ in range(1 if quick else 3)
    ]
    for part, title in PARTS.items():
        ratios = [run[part]["padded"] / run[part]["packed"] for run in runs]
        for arm in ARMS:
            is_packed = arm == "packed"
            yield row(
                NAME,
                f"{title}, {work.title}",
                [run[part][arm] for run in runs],
                "µs/token",
                system=f"seqrec, {arm}",
                ratio=statistics.median(ratios) if is_packed else None,
                target=TARGETS.get((part, work.data)) if is_packed else None,
                note=f"{runs[0][arm + '_useful']:.1%} of positions useful",
            )


def probe(data: str, folder: str, num_batches: int) -> dict[str, Any]:
    """Microseconds per useful position, by part and arm; batches alternate between arms."""
    _, objective = build_objective(WORKS[data], folder)
    step = TrainingStep(objective.module)
    packed = batches_of(objective.setup.loader, NUM_WARM_UP + num_batches)
    pad_token_id = objective.module.model.backbone.config.pad_token_id
    padded = [unpacked(batch, pad_token_id) for batch in packed]
    useful = sum(map(num_useful, packed[NUM_WARM_UP:]))
    parts: dict[str, Callable[[PackedTensors], float]] = {
        "decoder": lambda batch: decoder_seconds(objective.module, batch),
        "step": step,
    }
    answer: dict[str, Any] = {
        "packed_useful": num_useful(packed[0]) / packed[0].documents.numel(),
        "padded_useful": num_useful(padded[0]) / padded[0].documents.numel(),
    }
    for part, run in parts.items():
        rows = []
        for few, many in zip(packed, padded, strict=True):
            cut = cut_rows(many, len(few.documents))
            rows.append((run(few), sum(map(run, cut)), run(many)))
        of_packed, of_cut, of_whole = (
            sum(times[NUM_WARM_UP:]) for times in zip(*rows, strict=True)
        )
        seconds = {"packed": of_packed, "padded": min(of_cut, of_whole)}
        answer[part] = {arm: seconds[arm] * 1e6 / useful for arm in ARMS}
    return answer


def decoder_seconds(module: TrainingModule, batch: PackedTensors) -> float:
    """Hidden states and their gradients from a given one, the embedding's among them."""
    module.train()
    upstream = torch.randn(*batch.input_ids.shape, module.model.backbone.config.hidden_size)
    module.zero_grad()
    dtype = module.products_dtype
    started = time.perf_counter()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        hidden = module.model.hidden_states(batch.input_ids, batch.documents)
    hidden.backward(upstream)
    return time.perf_counter() - started


def unpacked(batch: PackedTensors, pad_token_id: int) -> PackedTensors:
    """The windows of packed rows, each at the start of a row of its own."""
    length = batch.documents.shape[1]
    rows, columns = (batch.documents > 0).nonzero(as_tuple=True)
    key = rows * (length + 1) + batch.documents[rows, columns]
    _, window = key.unique(return_inverse=True)
    counts = torch.bincount(window)
    place = torch.arange(len(window)) - (counts.cumsum(0) - counts)[window]
    shape = len(counts), length

    def moved(values: torch.Tensor, fill: float) -> torch.Tensor:
        result = values.new_full(shape, fill)
        result[window, place] = values[rows, columns]
        return result

    return PackedTensors(
        input_ids=moved(batch.input_ids, pad_token_id),
        documents=moved((batch.documents > 0).long(), 0),
        labels=moved(batch.labels, IGNORE_INDEX),
        label_weight=moved(batch.label_weight, 0.0),
        total_weight=batch.total_weight,
    )


def cut_rows(batch: PackedTensors, num_rows: int) -> Sequence[PackedTensors]:
    """The same rows in batches of so many."""
    parts = zip(*(tensor.split(num_rows) for tensor in batch[:4]), strict=True)
    return [
        PackedTensors(input_ids, documents, labels, weight, float(weight.sum()))
        for input_ids, documents, labels, weight in parts
    ]
