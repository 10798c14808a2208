"""Cross-entropy over a catalog of a million items: time and memory beside other ways."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from benchmarks.engine.prepared import Missing
from benchmarks.engine.rows import Row, not_measured
from benchmarks.gpu.place import MODULE, PRECISIONS, Place
from seqrec.losses.catalog import catalog_cross_entropy

NAME = Path(__file__).stem
NUM_RUNS = 5
CHUNK_ROWS = 512
WIDTHS = (64, 256)
CrossEntropy = Callable[[Tensor, Tensor, Tensor], Tensor]


def measure(place: Place) -> Iterator[Row]:
    """Yield seconds and peak memory of value and gradients, by width, precision and system."""
    num_targets, num_items = (64, 1_000) if place.is_small else (8_192, 1_000_000)
    for width in WIDTHS:
        for precision, dtype in PRECISIONS.items():
            work = f"{num_targets:,} targets, {num_items:,} items, D {width}, {precision}"
            for system, build in SYSTEMS.items():
                try:
                    loss = build()
                    yield from measure_system(
                        place, work, system, loss, (num_targets, num_items, width), dtype
                    )
                except Missing as reason:
                    yield not_measured(NAME, f"{work}, {system}", reason, MODULE)
                except torch.OutOfMemoryError:
                    reason = Missing("memory of this device")
                    yield not_measured(NAME, f"{work}, {system}", reason, MODULE)


def measure_system(
    place: Place,
    work: str,
    system: str,
    loss: CrossEntropy,
    sizes: tuple[int, int, int],
    dtype: torch.dtype,
) -> Iterator[Row]:
    """Yield the rows of one system."""
    num_targets, num_items, width = sizes
    torch.manual_seed(0)
    hidden = torch.randn(num_targets, width, device=place.device).requires_grad_()
    weight = torch.randn(num_items, width, device=place.device).mul_(0.02).requires_grad_()
    labels = torch.randint(num_items, (num_targets,), device=place.device)

    def once() -> None:
        hidden.grad = weight.grad = None
        with torch.autocast(place.device.type, dtype, enabled=dtype != torch.float32):
            value = loss(hidden, weight, labels)
        value.backward()

    before = place.start_memory()
    seconds = place.time_calls(once, 1 if place.is_small else NUM_RUNS)
    peak = place.get_peak_mb() - before
    yield place.figure(NAME, work, [1000 * one for one in seconds], "ms", system=system)
    yield place.figure(NAME, f"{work}: extra peak memory", [peak], "MB", system=system)


def chunked_cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Return ``F.cross_entropy`` in chunks of rows, whose logits are computed again backwards."""

    def chunk(rows: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(rows @ weight.T, targets, reduction="sum")

    parts = zip(hidden.split(CHUNK_ROWS), labels.split(CHUNK_ROWS), strict=True)
    sums = [checkpoint(chunk, *part, use_reentrant=False) for part in parts]
    return torch.stack(sums).sum() / len(labels)


def load_liger() -> CrossEntropy:
    """Return the fused kernel of Liger.

    Raises:
        Missing: it is not installed here.
    """
    try:
        from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss
    except ImportError as error:
        raise Missing(f"{error}; pip install liger-kernel") from error
    fused = LigerFusedLinearCrossEntropyLoss()

    def loss(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled() else hidden.dtype
        return fused(weight.to(dtype), hidden.to(dtype), labels)

    return loss


SYSTEMS: dict[str, Callable[[], CrossEntropy]] = {
    "seqrec": lambda: catalog_cross_entropy,
    "F.cross_entropy in chunks": lambda: chunked_cross_entropy,
    "liger-kernel": load_liger,
}
