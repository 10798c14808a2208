"""Values and gradients of the losses against the same in float64 on the CPU."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.engine.rows import Row
from benchmarks.gpu.place import PRECISIONS, Place
from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.losses.divergence import DivergenceKind, catalog_divergence
from seqrec.losses.log_prob import catalog_log_prob
from seqrec.losses.negatives import Negatives
from seqrec.losses.policy import clipped_policy_gradient
from seqrec.losses.preference import Answers, PairLogProbs, dpo
from seqrec.losses.sampled import gbce, sampled_softmax
from seqrec.losses.slate import catalog_slate_log_prob
from seqrec.losses.softmax import CatalogScores
from seqrec.losses.teachers import catalog_top_k
from seqrec.losses.top_k_divergence import top_k_divergence

NAME = Path(__file__).stem
BOUNDS = {"float32": 1e-4, "bfloat16": 0.05}
"""Largest relative error of a value, or of the norm of a gradient's difference."""
NUM_NEGATIVES, NUM_SLATES, SLATE_SIZE, TOP = 64, 2, 3, 10


class Inputs(NamedTuple):
    """Arguments from which every loss takes its own."""

    hidden: Tensor
    item_weight: Tensor
    teacher_hidden: Tensor
    teacher_weight: Tensor
    labels: Tensor
    negatives: Tensor
    slates: Tensor
    """``NUM_SLATES`` slates of a row, without repeats."""
    advantages: Tensor

    @property
    def teacher(self) -> CatalogScores:
        """The distributions of a fixed teacher."""
        return CatalogScores(self.teacher_hidden, self.teacher_weight)


def measure(place: Place) -> Iterator[Row]:
    """Yield a row for every loss and precision: the largest relative error."""
    num_rows, width, num_items = (24, 8, 200) if place.is_small else (1_024, 64, 20_000)
    exact = draw_inputs(num_rows, width, num_items)
    for loss, function in LOSSES.items():
        expected = with_gradients(function, exact, torch.float64)
        for precision, dtype in PRECISIONS.items():
            inputs = Inputs(*(to_device(part, place.device) for part in exact))
            actual = with_gradients(function, inputs, dtype)
            errors = list(map(relative_error, actual, expected))
            yield place.check_at_most(
                NAME, f"{loss}, {precision}: relative error", max(errors), BOUNDS[precision]
            )


def draw_inputs(num_rows: int, width: int, num_items: int) -> Inputs:
    """Draw arguments on the CPU, in float64 that float32 holds exactly."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).double()

    weights = torch.rand(num_rows, num_items, generator=generator)
    return Inputs(
        normal(num_rows, width),
        0.3 * normal(num_items, width),
        normal(num_rows, width),
        0.3 * normal(num_items, width),
        torch.randint(num_items, (num_rows,), generator=generator),
        torch.randint(num_items, (NUM_NEGATIVES,), generator=generator),
        weights.topk(NUM_SLATES * SLATE_SIZE).indices.view(num_rows, NUM_SLATES, SLATE_SIZE),
        normal(num_rows, NUM_SLATES),
    )


def to_device(part: Tensor, device: torch.device) -> Tensor:
    """Return a part of the arguments on a device, numbers in float32."""
    return part.to(device, torch.float32 if part.is_floating_point() else part.dtype)


def with_gradients(
    function: Callable[[Inputs], Tensor], inputs: Inputs, dtype: torch.dtype
) -> list[Tensor]:
    """Return a loss and its gradients by states and item vectors, in float64 on the CPU."""
    hidden, item_weight = (part.clone().requires_grad_() for part in inputs[:2])
    kind = hidden.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=dtype == torch.bfloat16):
        loss = function(inputs._replace(hidden=hidden, item_weight=item_weight))
    loss.backward()
    return [part.detach().cpu().double() for part in (loss, hidden.grad, item_weight.grad)]


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Return the norm of the difference as a share of the expected norm."""
    return float((actual - expected).norm() / expected.norm().clamp_min(1e-12))


def _cross_entropy(inputs: Inputs) -> Tensor:
    return catalog_cross_entropy(inputs.hidden, inputs.item_weight, inputs.labels)


def _divergence(kind: DivergenceKind) -> Callable[[Inputs], Tensor]:
    def loss(inputs: Inputs) -> Tensor:
        student = CatalogScores(inputs.hidden, inputs.item_weight)
        return catalog_divergence(student, [inputs.teacher], kind=kind)

    return loss


def _top_k(inputs: Inputs) -> Tensor:
    with torch.autocast(inputs.hidden.device.type, enabled=False):  # the same items everywhere
        teacher = catalog_top_k([inputs.teacher], TOP)
    return top_k_divergence(CatalogScores(inputs.hidden, inputs.item_weight), teacher)


def _sampled(inputs: Inputs) -> Tensor:
    return sampled_softmax(*_scored(inputs), log_q=True)


def _gbce(inputs: Inputs) -> Tensor:
    return gbce(*_scored(inputs), num_items=len(inputs.item_weight), t=0.75)


def _scored(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor, Tensor, Negatives]:
    items, weight = inputs.negatives, inputs.item_weight
    log_count = torch.full_like(weight[: len(items), 0], len(items) / len(weight)).log()
    return (
        inputs.hidden,
        weight[inputs.labels],
        weight[items],
        inputs.labels,
        Negatives(items, log_count.detach()),
    )


def _dpo(inputs: Inputs) -> Tensor:
    """Compare the first items of two slates, as answers to a history."""
    answers = inputs.slates[:, :, 0]
    policy = catalog_log_prob(inputs.hidden, inputs.item_weight, answers)
    with torch.autocast(inputs.hidden.device.type, enabled=False):
        reference = catalog_log_prob(*inputs.teacher[:2], answers)
    ones = torch.ones_like(answers[:, :1])
    pairs = [PairLogProbs(two[:, 0], two[:, 1:], two[:, 0]) for two in (policy, reference)]
    lengths = Answers(ones[:, 0], ones)
    return dpo(*pairs, lengths, beta=0.5, label_smoothing=0.0).mean()


def _slates(inputs: Inputs) -> Tensor:
    scores = CatalogScores(inputs.hidden, inputs.item_weight)
    log_prob = catalog_slate_log_prob(scores, inputs.slates)
    return clipped_policy_gradient(
        log_prob, log_prob.detach(), inputs.advantages, clip_low=0.2, clip_high=0.2
    )


LOSSES: dict[str, Callable[[Inputs], Tensor]] = {
    "cross-entropy": _cross_entropy,
    "sampled softmax": _sampled,
    "gBCE": _gbce,
    "forward KL": _divergence("forward_kl"),
    "reverse KL": _divergence("reverse_kl"),
    "Jensen-Shannon": _divergence("jensen_shannon"),
    "top-k KL": _top_k,
    "DPO": _dpo,
    "clipped policy gradient of slates": _slates,
}
