"""How far one distribution over the catalog is from another, a chunk of rows at a time.

The guard of reinforcement learning asks for it, preference optimisation watches it, and
distillation makes it small. Neither model's scores are ever held whole.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqrec.losses.catalog import TILE_ITEMS, LogitBias, chunk_rows

DivergenceKind = Literal["forward_kl", "reverse_kl", "jensen_shannon"]

ARRAYS_HELD = 3
"""Arrays of a chunk's size that live at once: as many fewer rows are scored at once."""


class Scores(NamedTuple):
    """What gives every row a distribution: the softmax of ``hidden @ item_weight.T + bias``."""

    hidden: Float[Tensor, "N D"]
    item_weight: Float[Tensor, "I D"]
    logit_bias: LogitBias | None = None
    """Finite: to leave items out, a number far below all logits."""


def catalog_divergence(
    student: Scores,
    teachers: Sequence[Scores],
    *,
    kind: DivergenceKind = "forward_kl",
    share: float = 0.5,
    temperature: float = 1.0,
    row_weight: Float[Tensor, " N"] | None = None,
    total_weight: float | None = None,
    chunk_size: int | None = None,
) -> Float[Tensor, ""]:
    """The mean divergence of a student's distributions from a teacher's, in nats.

    With ``p`` the student's and ``q`` the mean of the teachers' probabilities, both of logits
    divided by ``temperature``:

    - ``forward_kl``: ``sum(q * log(q / p))``, small where the student covers the teacher;
    - ``reverse_kl``: ``sum(p * log(p / q))``, small where the student stays inside it;
    - ``jensen_shannon``: ``share * KL(q | m) + (1 - share) * KL(p | m)``, where ``m`` is
      ``share * q + (1 - share) * p``.

    The result is multiplied by ``temperature ** 2``, which keeps gradients alike. Those of the
    student are formed while a chunk is at hand; teachers get none.

    Args:
        student: what is trained.
        teachers: of the same rows and catalog, of any width.
        kind: which divergence.
        share: of ``jensen_shannon``.
        temperature: above 1, more is asked about what is unlikely.
        row_weight: how much each row counts, not negative; all alike if absent.
        total_weight: what the weighted sum is divided by, where these rows are a part of a
            batch; the weights' own sum if absent.
        chunk_size: rows scored at once; chosen by the catalog's size if absent.

    Returns:
        The weighted mean; 0 if no row counts.

    Source: Hinton et al. 2015, arXiv:1503.02531, for the temperature; Agarwal et al. 2024,
        arXiv:2306.13649, equations 1 and 4, for the generalised divergence.
    """
    num_rows = len(student.hidden)
    dtype = torch.promote_types(student.hidden.dtype, torch.float32)
    weight = torch.ones(num_rows, dtype=dtype, device=student.hidden.device)
    if row_weight is not None:
        weight = row_weight.to(dtype)
    total = weight.sum() if total_weight is None else weight.new_tensor(total_weight)
    row_share = weight / total.clamp_min(torch.finfo(dtype).tiny) * temperature**2
    form = _Form(kind, share, temperature, chunk_size)
    loss, _ = _CatalogDivergence.apply(
        student.hidden, student.item_weight, row_share, student.logit_bias, tuple(teachers), form
    )
    return loss


@torch.no_grad()
def row_divergences(
    student: Scores,
    teachers: Sequence[Scores],
    *,
    kind: DivergenceKind = "forward_kl",
    share: float = 0.5,
    chunk_size: int | None = None,
) -> Float[Tensor, " N"]:
    """The divergence of every row, in nats, without gradients; as ``catalog_divergence`` says."""
    form = _Form(kind, share, 1.0, chunk_size)
    dtype = torch.promote_types(student.hidden.dtype, torch.float32)
    none = torch.zeros(len(student.hidden), dtype=dtype, device=student.hidden.device)
    return _CatalogDivergence.apply(
        student.hidden, student.item_weight, none, student.logit_bias, tuple(teachers), form
    )[1]


class _Form(NamedTuple):
    kind: DivergenceKind
    share: float
    temperature: float
    chunk_size: int | None


class _Chunks:
    """Logits of rows against the catalog, in tiles, in the precision of products."""

    def __init__(self, scores: Scores, temperature: float) -> None:
        hidden = scores.hidden
        self.dtype = hidden.dtype
        if torch.is_autocast_enabled(hidden.device.type):
            self.dtype = torch.get_autocast_dtype(hidden.device.type)
        self.sum_dtype = torch.promote_types(self.dtype, torch.float32)
        self.temperature = temperature
        self.hidden = (hidden / temperature).to(self.dtype)
        self.item_weight = scores.item_weight.to(self.dtype)
        self.logit_bias = scores.logit_bias

    def log_probabilities(
        self, rows: slice, tiles: Sequence[slice]
    ) -> list[Float[Tensor, "C tile"]]:
        """The log-softmax of a chunk, by tile."""
        logits = []
        for tile in tiles:
            of_tile = (self.hidden[rows] @ self.item_weight[tile].T).to(self.sum_dtype)
            if self.logit_bias is not None:
                of_tile += self.logit_bias(rows, tile) / self.temperature
            logits.append(of_tile)
        parts = torch.stack([of_tile.logsumexp(dim=1) for of_tile in logits])
        normalizer = parts.logsumexp(dim=0)[:, None]
        return [of_tile.sub_(normalizer) for of_tile in logits]


def _mean_of(
    teachers: Sequence[_Chunks], rows: slice, tiles: Sequence[slice]
) -> list[Float[Tensor, "C tile"]]:
    """The log of the mean of the teachers' probabilities."""
    first, *others = (teacher.log_probabilities(rows, tiles) for teacher in teachers)
    for other in others:
        first = [torch.logaddexp(one, two) for one, two in zip(first, other, strict=True)]
    if others:
        for of_tile in first:
            of_tile -= torch.log(of_tile.new_tensor(float(len(teachers))))
    return first


def _divergence_of(
    log_p: Float[Tensor, "C tile"], log_q: Float[Tensor, "C tile"], form: _Form
) -> tuple[Float[Tensor, " C"], Float[Tensor, "C tile"], Float[Tensor, "C tile"]]:
    """A tile's part of the rows' divergences; ``p``; and what ``p`` is multiplied by in the
    gradient, but for the mean of that under ``p``."""
    p = log_p.exp()
    if form.kind == "forward_kl":
        q = log_q.exp()
        return (q * (log_q - log_p)).sum(dim=1), p, q
    if form.kind == "reverse_kl":
        slope = log_p - log_q
        return (p * slope).sum(dim=1), p, slope
    q = log_q.exp()
    log_m = (form.share * q + (1 - form.share) * p).clamp_min(torch.finfo(p.dtype).tiny).log()
    slope = (1 - form.share) * (log_p - log_m)
    value = form.share * (q * (log_q - log_m)).sum(dim=1) + (p * slope).sum(dim=1)
    return value, p, slope


class _CatalogDivergence(torch.autograd.Function):
    """``(share * divergence).sum()``, and the rows' divergences, which carry no gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        item_weight: Tensor,
        row_share: Tensor,
        logit_bias: LogitBias | None,
        teachers: tuple[Scores, ...],
        form: _Form,
    ) -> tuple[Tensor, Tensor]:
        student = _Chunks(Scores(hidden, item_weight, logit_bias), form.temperature)
        guides = [_Chunks(teacher, form.temperature) for teacher in teachers]
        num_items = len(item_weight)
        starts = range(0, num_items, TILE_ITEMS)
        tiles = [slice(start, min(start + TILE_ITEMS, num_items)) for start in starts]
        values = row_share.new_zeros(len(hidden))
        needs_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        if needs_gradient:
            towards_hidden = torch.zeros_like(hidden, dtype=student.sum_dtype)
            towards_weight = torch.zeros_like(item_weight, dtype=student.sum_dtype)
        for rows in _row_slices(len(hidden), num_items, form.chunk_size, hidden.device):
            log_p = student.log_probabilities(rows, tiles)
            log_q = _mean_of(guides, rows, tiles)
            parts = [_divergence_of(*pair, form) for pair in zip(log_p, log_q, strict=True)]
            values[rows] = torch.stack([part[0] for part in parts]).sum(dim=0)
            if not needs_gradient:
                continue
            scale = (row_share[rows] / form.temperature)[:, None]
            for tile, gradient in zip(tiles, _gradients(parts, scale, form), strict=True):
                gradient = gradient.to(student.dtype)
                towards_hidden[rows] += gradient @ student.item_weight[tile]
                towards_weight[tile] += gradient.T @ student.hidden[rows]
        if needs_gradient:
            towards_weight *= form.temperature  # the hidden states were divided by it
            ctx.save_for_backward(towards_hidden, towards_weight)
            ctx.dtypes = hidden.dtype, item_weight.dtype
        ctx.mark_non_differentiable(values)
        return (row_share * values).sum(), values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        hidden, item_weight = (saved * gradients[0] for saved in ctx.saved_tensors)
        return hidden.to(ctx.dtypes[0]), item_weight.to(ctx.dtypes[1]), None, None, None, None


def _gradients(
    parts: Sequence[tuple[Tensor, Tensor, Tensor]], scale: Float[Tensor, "C 1"], form: _Form
) -> Iterator[Float[Tensor, "C tile"]]:
    """The gradients of a chunk's logits, by tile.

    Of the forward divergence ``p - q``; of the others ``p * (slope - mean of slope under p)``.
    """
    if form.kind == "forward_kl":
        for _, p, q in parts:
            yield p.sub_(q).mul_(scale)
        return
    mean = torch.stack([(p * slope).sum(dim=1) for _, p, slope in parts]).sum(dim=0)[:, None]
    for _, p, slope in parts:
        yield slope.sub_(mean).mul_(p).mul_(scale)


def _row_slices(
    num_rows: int, num_items: int, chunk_size: int | None, device: torch.device
) -> Iterator[slice]:
    size = chunk_size or -(-chunk_rows(num_rows, num_items, device) // ARRAYS_HELD)
    for start in range(0, num_rows, size):
        yield slice(start, min(start + size, num_rows))
