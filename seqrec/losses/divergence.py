"""How far one distribution over the catalog is from another, a chunk of rows at a time.

The guard of reinforcement learning asks for it, preference optimisation watches it, and
distillation makes it small. Neither model's scores are ever held whole.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqrec.losses.catalog import (
    SAFE_LOGIT,
    TILE_ITEMS,
    LogitBias,
    add_bias,
    catalog_cross_entropy,
    chunk_rows,
    largest_norm,
    row_sums,
    scaled_by,
)

DivergenceKind = Literal["forward_kl", "reverse_kl", "jensen_shannon"]

HELD_BYTES = 2**28
"""Of all arrays of a chunk's logits together, at most, however large the catalog is."""
NUM_ARRAYS = {"forward_kl": 2, "reverse_kl": 2, "jensen_shannon": 4}
"""The student's and the mean's, and what a divergence needs beside them; several teachers need one
more."""


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
    labels: Int[Tensor, " N"] | None = None,
    label_share: float = 0.0,
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

    It is multiplied by ``temperature ** 2``, which keeps gradients alike. Those of the student
    are formed while a chunk is at hand: as many products as cross-entropy takes, and one for each
    teacher. Teachers get no gradient. Under autocast logits and exponentials have its precision;
    normalizers and sums are float32.

    Args:
        student: what is trained.
        teachers: of the same rows and catalog, of any width.
        kind: which divergence.
        share: of ``jensen_shannon``.
        temperature: above 1, more is asked about what is unlikely.
        labels: the item that came next in every row.
        label_share: share of the loss that is the labels' cross-entropy, at temperature 1. In
            ``forward_kl`` at temperature 1 it costs nothing, else three products more.
        row_weight: how much each row counts: not negative, and more than 0 where there are
            labels; all alike if absent.
        total_weight: what the weighted sum is divided by, where these rows are a part of a
            batch; the weights' own sum if absent.
        chunk_size: rows scored at once; chosen by the catalog's size if absent.

    Returns:
        The weighted mean; 0 if no row counts.

    Source: Hinton et al. 2015, arXiv:1503.02531, for the temperature; Agarwal et al. 2024,
        arXiv:2306.13649, equations 1 and 4, for the generalised divergence.
    """
    row_share = share_of_rows(student.hidden, row_weight, total_weight)
    if not label_share:
        labels = None
    is_joint = kind == "forward_kl" and temperature == 1
    form = Form(kind, share, temperature, chunk_size)
    scale = temperature**2
    if labels is not None and is_joint:
        form = form._replace(label_share=label_share)
    elif labels is not None:
        scale *= 1 - label_share
    loss, _ = _CatalogDivergence.apply(
        student.hidden,
        student.item_weight,
        row_share * scale,
        labels if is_joint else None,
        student.logit_bias,
        tuple(teachers),
        form,
    )
    if labels is None or is_joint:
        return loss
    return loss + label_share * catalog_cross_entropy(
        student.hidden,
        student.item_weight,
        labels,
        label_weight=row_weight,
        total_weight=total_weight,
        logit_bias=student.logit_bias,
        chunk_size=chunk_size,
    )


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
    form = Form(kind, share, 1.0, chunk_size)
    none = share_of_rows(student.hidden, None, None)
    return _CatalogDivergence.apply(
        student.hidden, student.item_weight, none, None, student.logit_bias, tuple(teachers), form
    )[1]


@torch.no_grad()
def most_likely(
    teachers: Sequence[Scores], k: int, *, chunk_size: int | None = None
) -> tuple[Int[Tensor, "N K"], Float[Tensor, "N K"], Float[Tensor, " N"]]:
    """The ``k`` likeliest items of every row, their log-probabilities, and the mass of the rest.

    Args:
        teachers: one or several, whose probabilities are averaged.
        k: how many; at most the catalog.
        chunk_size: rows scored at once; chosen by the catalog's size if absent.
    """
    guides = [Logits(teacher) for teacher in teachers]
    first = guides[0]
    found = []
    for rows in first.chunks(chunk_size, 1 + (len(guides) > 1)):
        tiles = mean_logits(guides, rows)
        candidates = [tile.topk(min(k, tile.shape[1]), dim=1) for tile in tiles]
        items = [c.indices + t.start for c, t in zip(candidates, first.tiles, strict=True)]
        values, place = torch.cat([c.values for c in candidates], dim=1).topk(k, dim=1)
        normalizer = _exponential_sums(tiles, first)
        log_prob = values.to(first.sum_dtype) - normalizer.log()
        rest = (1 - log_prob.exp().sum(dim=1)).clamp_min(0)
        found.append((torch.cat(items, dim=1).gather(1, place), log_prob, rest))
    if not found:
        values = first.hidden.new_empty(0, k, dtype=first.sum_dtype)
        return values.long(), values, values.sum(dim=1)
    best, log_probs, rests = zip(*found, strict=True)
    return torch.cat(best), torch.cat(log_probs), torch.cat(rests)


class Form(NamedTuple):
    """Which divergence, and how it is computed."""

    kind: DivergenceKind
    share: float
    temperature: float
    chunk_size: int | None
    label_share: float = 0.0


class Logits:
    """A model's logits against the catalog, a chunk of rows at a time, in tiles of items.

    They have the precision of the products, and are divided by a temperature.
    """

    def __init__(self, scores: Scores, temperature: float = 1.0) -> None:
        hidden, num_items = scores.hidden, len(scores.item_weight)
        self.dtype = hidden.dtype
        if torch.is_autocast_enabled(hidden.device.type):
            self.dtype = torch.get_autocast_dtype(hidden.device.type)
        self.sum_dtype = torch.promote_types(self.dtype, torch.float32)
        self.temperature = temperature
        self.hidden = (hidden if temperature == 1 else hidden / temperature).to(self.dtype)
        self.item_weight = scores.item_weight.to(self.dtype)
        self.logit_bias = scores.logit_bias
        starts = range(0, num_items, TILE_ITEMS)
        self.tiles = [slice(start, min(start + TILE_ITEMS, num_items)) for start in starts]
        has_range = torch.finfo(self.dtype).max >= torch.finfo(torch.bfloat16).max
        largest = largest_norm(hidden) * largest_norm(scores.item_weight) / temperature
        self.is_safe = self.logit_bias is None and has_range and bool(largest < SAFE_LOGIT)
        self._buffers: list[Tensor] = []

    def chunks(self, chunk_size: int | None, num_arrays: int = 2) -> Iterator[slice]:
        """Rows scored at once: two models' logits of them stay in the caches, or in memory.

        Args:
            chunk_size: how many; chosen if absent.
            num_arrays: arrays of their logits that are held.
        """
        num_rows, num_items = len(self.hidden), len(self.item_weight)
        if chunk_size is None:
            chunk_size = chunk_rows(num_rows, 2 * num_items, self.hidden.device)
            row_bytes = max(num_items, 1) * self.hidden.element_size()
            chunk_size = min(chunk_size, max(HELD_BYTES // (num_arrays * row_bytes), 1))
        for start in range(0, num_rows, chunk_size):
            yield slice(start, min(start + chunk_size, num_rows))

    def fill(self, rows: slice, room: "Logits | None" = None) -> list[Float[Tensor, "C _"]]:
        """The logits of some rows, by tile; they live until the next call.

        From each row a number may be subtracted, so that exponentials are finite.

        Args:
            rows: which.
            room: of the same precision, whose room is written to; its own if absent.
        """
        part, held = self.hidden[rows], room or self
        if not held._buffers or len(held._buffers[0]) < len(part):
            held._buffers = [part.new_empty(len(part), t.stop - t.start) for t in self.tiles]
        logits = [buffer[: len(part)] for buffer in held._buffers]
        for tile, out in zip(self.tiles, logits, strict=True):
            torch.mm(part, self.item_weight[tile].T, out=out)
            add_bias(out, self.logit_bias, rows, tile, self.temperature)
        if not self.is_safe:
            shift = torch.stack([of_tile.amax(dim=1) for of_tile in logits]).amax(dim=0)
            for of_tile in logits:
                of_tile -= shift[:, None]
        return logits


class HeadGradients:
    """The gradients of hidden states and item vectors, gathered chunk by chunk."""

    def __init__(self, logits: Logits) -> None:
        self.logits = logits
        self.hidden = torch.zeros_like(logits.hidden, dtype=logits.sum_dtype)
        self.item_weight = torch.zeros_like(logits.item_weight, dtype=logits.sum_dtype)
        self._of_tile = torch.empty_like(logits.item_weight[:TILE_ITEMS])

    def add(
        self, rows: slice, tiles: Sequence[Float[Tensor, "C _"]], scale: Float[Tensor, "C 1"]
    ) -> None:
        """Add what logits of some rows give whose gradients are ``tiles``, row by row scaled."""
        logits, is_whole = self.logits, self.logits.dtype == self.logits.sum_dtype
        scaled = (logits.hidden[rows].to(logits.sum_dtype) * scale).to(logits.dtype)
        towards = self.hidden[rows]
        for tile, gradient in zip(logits.tiles, tiles, strict=True):
            towards += torch.mm(gradient, logits.item_weight[tile])
            into = self.item_weight[tile]
            if is_whole:
                into.addmm_(gradient.T, scaled)
            else:
                into += torch.mm(gradient.T, scaled, out=self._of_tile[: len(into)])
        towards *= scale / logits.temperature


def share_of_rows(
    hidden: Float[Tensor, "N D"],
    row_weight: Float[Tensor, " N"] | None,
    total_weight: float | None,
) -> Float[Tensor, " N"]:
    """The share of every row in a weighted mean, in float32 or better."""
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    weight = torch.ones(len(hidden), dtype=dtype, device=hidden.device)
    if row_weight is not None:
        weight = row_weight.to(dtype)
    total = weight.sum() if total_weight is None else weight.new_tensor(total_weight)
    return weight / total.clamp_min(torch.finfo(dtype).tiny)


def mean_logits(teachers: Sequence[Logits], rows: slice) -> list[Float[Tensor, "C _"]]:
    """Logits of the mean of the teachers' probabilities, by tile.

    They are added as logarithms: under a low temperature probabilities fall out of range.
    """
    first, *others = teachers
    mean = first.fill(rows)
    normalizer: Any = _exponential_sums(mean, first).log() if others else 0.0
    for teacher in others:
        is_alike = teacher.dtype == others[0].dtype
        tiles = teacher.fill(rows, others[0] if is_alike else None)
        own = _exponential_sums(tiles, teacher).log()
        for of_mean, of_tile in zip(mean, tiles, strict=True):
            of_mean.copy_(torch.logaddexp(of_mean - normalizer, of_tile - own))
        normalizer = 0.0
    return mean


def at_items(
    tiles: Sequence[Float[Tensor, "C _"]], logits: Logits, items: Int[Tensor, "C K"]
) -> Float[Tensor, "C K"]:
    """What tiles hold at some items of every row, in the precision of sums."""
    found = torch.zeros(items.shape, dtype=logits.sum_dtype, device=items.device)
    for tile, of_tile in zip(logits.tiles, tiles, strict=True):
        is_here = (items >= tile.start) & (items < tile.stop)
        found += of_tile.gather(1, (items - tile.start).where(is_here, 0)) * is_here
    return found


def add_at_items(
    tiles: Sequence[Float[Tensor, "C _"]],
    logits: Logits,
    items: Int[Tensor, "C K"],
    values: Float[Tensor, "C K"],
) -> None:
    """Add values to what tiles hold at some items of every row."""
    values = values.to(logits.dtype)
    for tile, of_tile in zip(logits.tiles, tiles, strict=True):
        is_here = (items >= tile.start) & (items < tile.stop)
        of_tile.scatter_add_(1, (items - tile.start).where(is_here, 0), values * is_here)


class _Compared(NamedTuple):
    """A chunk of rows of two models."""

    values: Float[Tensor, "C 1"]
    """The divergences."""
    gradients: list[Float[Tensor, "C _"]]
    """Of the student's logits, but for the scale."""
    scale: Float[Tensor, "C 1"]


Tiles = list[Tensor]
"""Logits of a chunk, by tile; what compares two models may write to them."""


def _exponential_sums(tiles: Tiles, logits: Logits) -> Float[Tensor, "C 1"]:
    return sum(row_sums(of_tile.exp(), logits.sum_dtype) for of_tile in tiles)  # type: ignore[return-value]


def _forward_kl(
    student: Logits, ours: Tiles, theirs: Tiles, labels: Tensor | None, form: Form
) -> _Compared:
    """Gradient ``p - q``, up to the student's normalizer: one pass over the exponentials."""
    label_logit = 0.0 if labels is None else at_items(ours, student, labels)
    gap: Any = 0.0
    our_sum: Any = 0.0
    their_sum: Any = 0.0
    scratch = torch.empty_like(ours[0])
    for p, q in zip(ours, theirs, strict=True):
        difference = torch.sub(q, p, out=scratch.narrow(1, 0, p.shape[1]))
        their_sum = their_sum + row_sums(q.exp_(), student.sum_dtype)
        our_sum = our_sum + row_sums(p.exp_(), student.sum_dtype)
        gap = gap + row_sums(difference.mul_(q), student.sum_dtype)
    teacher_share = 1 - form.label_share
    values = teacher_share * (gap / their_sum + our_sum.log() - their_sum.log())
    ratio = (teacher_share * our_sum / their_sum).to(student.dtype)
    for p, q in zip(ours, theirs, strict=True):
        p.addcmul_(q, ratio, value=-1)
    if labels is not None:
        values = values + form.label_share * (our_sum.log() - label_logit)
        add_at_items(ours, student, labels, -form.label_share * our_sum)
    return _Compared(values, ours, our_sum.reciprocal())


def _reverse_kl(student: Logits, ours: Tiles, theirs: Tiles) -> _Compared:
    """Gradient ``p * (log p - log q - their mean under p)``."""
    their_sum = _exponential_sums(theirs, student)
    gap: Any = 0.0
    our_sum: Any = 0.0
    for p, q in zip(ours, theirs, strict=True):
        torch.sub(p, q, out=q)
        our_sum = our_sum + row_sums(p.exp_(), student.sum_dtype)
        gap = gap + row_sums(q.mul_(p), student.sum_dtype)
    mean = gap / our_sum
    for p, q in zip(ours, theirs, strict=True):
        q.addcmul_(p, mean.to(student.dtype), value=-1)
    return _Compared(mean - our_sum.log() + their_sum.log(), theirs, our_sum.reciprocal())


def _jensen_shannon(student: Logits, ours: Tiles, theirs: Tiles, form: Form) -> _Compared:
    """Gradient ``(1 - share) * p * (log p - log m - their mean under p)``."""
    our_log_sum, their_log_sum = (_exponential_sums(t, student).log() for t in (ours, theirs))
    log_share = torch.tensor([form.share, 1 - form.share], dtype=student.sum_dtype).log()
    log_share = log_share.to(our_log_sum.device)
    value: Any = 0.0
    mean: Any = 0.0
    for p, q in zip(ours, theirs, strict=True):
        log_p, log_q = p - our_log_sum, q - their_log_sum
        ratio = log_p - log_q
        over_q = torch.logaddexp(ratio + log_share[1], log_share[0])  # log m - log q
        torch.exp(log_p, out=log_p)
        slope = (ratio - over_q).mul_(1 - form.share).mul_(log_p)
        here = slope.sum(dim=1, keepdim=True)
        mean = mean + here
        value = value + here - form.share * (log_q.exp_() * over_q).sum(dim=1, keepdim=True)
        p.copy_(log_p)
        q.copy_(slope)
    for p, q in zip(ours, theirs, strict=True):
        q.addcmul_(p, mean.to(student.dtype), value=-1)
    return _Compared(value, theirs, torch.ones_like(value))


class _CatalogDivergence(torch.autograd.Function):
    """``(share * divergence).sum()``, and the rows' divergences, which carry no gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        item_weight: Tensor,
        row_share: Tensor,
        labels: Tensor | None,
        logit_bias: LogitBias | None,
        teachers: tuple[Scores, ...],
        form: Form,
    ) -> tuple[Tensor, Tensor]:
        student = Logits(Scores(hidden, item_weight, logit_bias), form.temperature)
        guides = [Logits(teacher, form.temperature) for teacher in teachers]
        values = row_share.new_zeros(len(hidden))
        needs_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        gradients = HeadGradients(student) if needs_gradient else None
        num_arrays = NUM_ARRAYS[form.kind] + (len(guides) > 1)
        for rows in student.chunks(form.chunk_size, num_arrays):
            ours, theirs = student.fill(rows), mean_logits(guides, rows)
            of_rows = None if labels is None else labels[rows, None]
            match form.kind:
                case "forward_kl":
                    found = _forward_kl(student, ours, theirs, of_rows, form)
                case "reverse_kl":
                    found = _reverse_kl(student, ours, theirs)
                case _:
                    found = _jensen_shannon(student, ours, theirs, form)
            values[rows] = found.values.squeeze(1)
            if gradients is not None:
                gradients.add(rows, found.gradients, found.scale * row_share[rows, None])
        if gradients is not None:
            ctx.save_for_backward(gradients.hidden, gradients.item_weight)
            ctx.dtypes = hidden.dtype, item_weight.dtype
        ctx.mark_non_differentiable(values)
        return (row_share * values).sum(), values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        hidden, item_weight = scaled_by(ctx.saved_tensors, gradients[0])
        towards = hidden.to(ctx.dtypes[0]), item_weight.to(ctx.dtypes[1])
        return *towards, None, None, None, None, None
