"""Memory of the divergence and its gradients, chunk by chunk and by definition."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine.machine import forget_peak, memory_mb, peak_memory_mb
from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.rows import Row, at_most, row
from seqrec.losses.divergence import Scores, catalog_divergence
from seqrec.training.accounting import training_dtype

NAME = Path(__file__).stem
MODULE = "benchmarks.distillation"
WIDTH = 64
CATALOGS, TARGETS = (3_416, 100_000, 1_000_000), (2_048, 8_192)
NAIVE_LOGITS = 2**30
"""More are not tried by definition: a model's scores alone would be 4 GB."""
MEMORY_MB = at_most(1024)


def measure(quick: bool) -> Iterator[Row]:
    """A row a catalog, number of targets and way."""
    for num_items in CATALOGS[: 1 if quick else None]:
        for num_targets in TARGETS:
            for is_naive in (False, True):
                if is_naive and num_items * num_targets > NAIVE_LOGITS:
                    continue
                answer = in_fresh_process(
                    f"{MODULE}.{NAME}",
                    num_items=num_items,
                    num_targets=num_targets,
                    is_naive=is_naive,
                )
                yield row(
                    NAME,
                    f"forward KL, {num_items:,} items, {num_targets:,} targets: extra peak memory",
                    [answer["extra_mb"]],
                    "MB",
                    system="by definition" if is_naive else "seqrec",
                    target=MEMORY_MB if num_items == CATALOGS[-1] and not is_naive else None,
                    note=f"{answer['seconds']:.2f} s",
                    module=MODULE,
                )


def probe(num_items: int, num_targets: int, is_naive: bool) -> dict[str, Any]:
    """What a step's loss takes above the models' tensors, and the seconds of the second one."""
    torch.manual_seed(0)
    student, teacher = (
        Scores(torch.randn(num_targets, WIDTH), torch.randn(num_items, WIDTH) / 8) for _ in range(2)
    )
    for tensor in student[:2]:
        tensor.requires_grad_()
    dtype = training_dtype("auto", "cpu")
    forget_peak()
    before = memory_mb()
    for _ in range(2):
        started = time.perf_counter()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            if is_naive:
                log_p, log_q = (
                    (one.hidden @ one.item_weight.T).float().log_softmax(1)
                    for one in (student, teacher)
                )
                loss = (log_q.exp() * (log_q - log_p)).sum(1).mean()
            else:
                loss = catalog_divergence(student, [teacher])
        loss.backward()
        student.hidden.grad = student.item_weight.grad = None
    return {"extra_mb": peak_memory_mb() - before, "seconds": time.perf_counter() - started}
