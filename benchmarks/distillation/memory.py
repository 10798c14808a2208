"""Memory of the divergence and its gradients, chunk by chunk and by definition."""

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine.machine import forget_peak, memory_mb, peak_memory_mb
from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.rows import Row, at_most, row
from seqrec.losses.divergence import DivergenceKind, catalog_divergence
from seqrec.losses.softmax import CatalogScores
from seqrec.training.accounting import training_dtype

NAME = Path(__file__).stem
MODULE = "benchmarks.distillation"
WIDTH = 64
CATALOGS = (3_416, 100_000, 1_000_000)
TARGETS = {"forward_kl": (2_048, 8_192), "jensen_shannon": (256, 1_024)}
"""By divergence, since the second takes its time."""
NAIVE_LOGITS = 2**30
"""More are not tried by definition: a model's scores alone would be 4 GB."""
KINDS = {"forward_kl": "forward KL", "jensen_shannon": "Jensen-Shannon"}
MEMORY_MB, FLAT = at_most(1024), at_most(1.1)


def measure(quick: bool) -> Iterator[Row]:
    """A row a catalog, number of targets, divergence and way; and how it grows with the targets."""
    for num_items in CATALOGS[: 1 if quick else None]:
        for kind in KINDS:
            used, (fewest, most) = [], TARGETS[kind]
            for num_targets in TARGETS[kind]:
                case = {"num_items": num_items, "num_targets": num_targets, "kind": kind}
                used.append((yield from _rows(**case))["extra_mb"])
            yield row(
                NAME,
                f"{KINDS[kind]}, {num_items:,} items: memory at {most:,} targets over {fewest:,}",
                [used[1] / used[0]],
                "",
                system="seqrec",
                target=FLAT if num_items == CATALOGS[-1] else None,
                module=MODULE,
            )


def _rows(num_items: int, num_targets: int, kind: str) -> Generator[Row, None, dict[str, Any]]:
    """The memory of the loss, and of its definition where that fits."""
    case = {"num_items": num_items, "num_targets": num_targets, "kind": kind}
    answer = in_fresh_process(f"{MODULE}.{NAME}", **case, is_naive=False)
    naive = None
    if kind == "forward_kl" and num_items * num_targets <= NAIVE_LOGITS:
        naive = in_fresh_process(f"{MODULE}.{NAME}", **case, is_naive=True)
    gigabytes = 4e-9 * num_items * num_targets
    of_naive = "" if naive else f"; by definition one model's scores alone are {gigabytes:.0f} GB"
    for system, found in (("seqrec", answer), ("by definition", naive)):
        if found is None:
            continue
        yield row(
            NAME,
            f"{KINDS[kind]}, {num_items:,} items, {num_targets:,} targets: extra peak memory",
            [found["extra_mb"]],
            "MB",
            system=system,
            target=MEMORY_MB if num_items == CATALOGS[-1] else None,
            note=f"{found['seconds']:.2f} s{of_naive}",
            module=MODULE,
        )
    return answer


def probe(num_items: int, num_targets: int, kind: DivergenceKind, is_naive: bool) -> dict[str, Any]:
    """The memory of a step's loss above the models' tensors, and the seconds of the second step."""
    torch.manual_seed(0)
    student, teacher = (
        CatalogScores(torch.randn(num_targets, WIDTH), torch.randn(num_items, WIDTH) / 8)
        for _ in range(2)
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
                loss = catalog_divergence(student, [teacher], kind=kind)
        loss.backward()
        student.hidden.grad = student.item_weight.grad = None
    return {"extra_mb": peak_memory_mb() - before, "seconds": time.perf_counter() - started}
