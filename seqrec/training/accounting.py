"""Costs of training: positions, floating-point operations, and the machine's product rate."""

import time
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seqrec.models.content import ContentEmbedding
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.reward import SeqRecForReward

ROWS = "trainable_tokens"
"""Name of the rows that an adapter trains in a table, which take no product."""
RATE_SIZE = 2048
RATE_TRIES = 4
_RATES: dict[tuple[torch.dtype, torch.device], float] = {}


class Counts(NamedTuple):
    """Counts of some training steps."""

    steps: int = 0
    positions: int = 0
    """Token positions, padding included."""
    useful: int = 0
    """Positions that hold a token."""
    targets: int = 0
    """Positions whose next item is learned."""

    def plus(self, other: "Counts") -> "Counts":
        """Return the sums of both counts."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


class Flops(NamedTuple):
    """Operations of the matrix products, forward and backward; an addition counts as one."""

    decoder: int
    head: int


def training_flops(
    model: SeqRecForNextItem | SeqRecForReward, counts: Counts, row_length: int, num_scored: int
) -> Flops:
    """Return the operations of the matrix products in the counted steps.

    The decoder takes six for each weight and position (two forward, four backward; Kaplan et al.
    2020, arXiv:2001.08361, section 2.1), four for a weight that is not trained. The head takes six
    for each weight, scored item and target. Attention takes twelve for each layer, unit of width,
    position and position of its row; masked positions count too.

    Args:
        model: the trained model; only matrices of its backbone count, without embeddings.
        counts: counts of the steps.
        row_length: tokens of a row; the tokens of an event may share a position.
        num_scored: items scored for a target: the catalog, or negatives and target.
    """
    kinds = nn.Embedding | ContentEmbedding
    tables = [module for module in model.backbone.modules() if isinstance(module, kinds)]
    in_tables = {id(part) for table in tables for part in table.parameters()}
    matrices = [
        weight
        for name, weight in model.backbone.named_parameters()
        if weight.ndim == 2 and id(weight) not in in_tables and ROWS not in name
    ]
    products = sum((6 if one.requires_grad else 4) * one.numel() for one in matrices)
    config = model.backbone.config
    num_members, shared, width = 1, 1, config.hidden_size
    if isinstance(model, SeqRecForReward):
        num_members = model.config.num_members
    else:
        shared, width = model.config.tokens_per_position, model.config.state_width
    attention = 12 * config.num_hidden_layers * config.hidden_size * row_length // shared
    return Flops(
        decoder=num_members * counts.positions // shared * (products + attention),
        head=num_members * counts.targets * 6 * num_scored * width,
    )


def product_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Return the operations per second of a large matrix product, measured once in a process."""
    # Drawn by every run, so that its random numbers do not depend on which runs came before it.
    left = torch.rand(RATE_SIZE, RATE_SIZE, device=device)
    if (dtype, device) not in _RATES:
        _RATES[dtype, device] = _measure_product_rate(left.to(dtype))
    return _RATES[dtype, device]


def _measure_product_rate(left: Float[Tensor, "N N"]) -> float:
    """Return the operations per second of the product of a matrix with itself; best of a few."""
    best = float("inf")
    for _ in range(RATE_TRIES):
        start = time.perf_counter()
        (left @ left)[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2 * len(left) ** 3 / best


def training_dtype(precision: str, accelerator: str) -> torch.dtype:
    """Return the precision of matrix products.

    ``auto`` is bfloat16 on GPUs that support it and on x86 processors with AVX-512 BF16 or AMX,
    else float32.
    """
    if precision != "auto":
        return getattr(torch, precision)
    if accelerator not in ("cpu", "mps") and torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float32
    capabilities = torch.cpu.get_capabilities()
    has_products = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return torch.bfloat16 if has_products else torch.float32
