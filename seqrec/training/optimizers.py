"""Optimizers and schedules, from plain numbers."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR


class LazyAdamW(AdamW):
    """AdamW that, given a sparse gradient, touches only the rows that it names.

    The lazy rule of Adam for embeddings: a row's moments and its weight decay stand still in the
    steps that do not use it; the bias correction counts all steps. Parameters with a dense
    gradient are updated by AdamW itself.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        held_back = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._step_rows(parameter, group)
                    held_back.append((parameter, parameter.grad))
                    parameter.grad = None
        super().step()
        for parameter, gradient in held_back:
            parameter.grad = gradient
        return loss

    def _step_rows(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient = parameter.grad.coalesce()  # type: ignore[union-attr]
        rows, slope = gradient.indices()[0], gradient.values()
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        step, (beta1, beta2) = float(state["step"]), group["betas"]
        mean = state["exp_avg"][rows].lerp_(slope, 1 - beta1)
        square = state["exp_avg_sq"][rows].mul_(beta2).addcmul_(slope, slope, value=1 - beta2)
        state["exp_avg"][rows], state["exp_avg_sq"][rows] = mean, square
        scale = square.div_(1 - beta2**step).sqrt_().add_(group["eps"])
        values = parameter[rows].mul_(1 - group["lr"] * group["weight_decay"])
        parameter[rows] = values.addcdiv_(mean, scale, value=-group["lr"] / (1 - beta1**step))


def adamw(model: nn.Module, *, learning_rate: float, weight_decay: float) -> LazyAdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101); decay on matrices only."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return LazyAdamW(groups, lr=learning_rate, fused=True)


def clip_gradients(model: nn.Module, max_norm: float) -> Tensor:
    """Scale all gradients down to a joint norm of at most ``max_norm``; sparse ones too.

    Returns:
        The norm before.
    """
    gradients = []
    for parameter in model.parameters():
        if parameter.grad is not None:
            if parameter.grad.is_sparse:
                parameter.grad = parameter.grad.coalesce()
                gradients.append(parameter.grad.values())
            else:
                gradients.append(parameter.grad)
    norm = nn.utils.get_total_norm(gradients)
    scale = (max_norm / (norm + 1e-6)).clamp_max(1.0)
    torch._foreach_mul_(gradients, scale)
    return norm


def warmup_and_decay(
    optimizer: Optimizer, *, schedule: str, warmup_steps: int, total_steps: int
) -> LambdaLR:
    """A learning rate that grows linearly over ``warmup_steps`` steps, then follows a schedule.

    ``constant`` stays at the peak; ``linear`` and ``cosine`` reach 0 after ``total_steps``.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        done = min((step - warmup_steps) / max(total_steps - warmup_steps, 1), 1.0)
        if schedule == "linear":
            return 1 - done
        return (1 + math.cos(math.pi * done)) / 2 if schedule == "cosine" else 1.0

    return LambdaLR(optimizer, factor)
