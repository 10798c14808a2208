"""Optimizers and schedules, from plain numbers."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

STEP_OF_ROW = "step_of_row"
"""State key: the last step that each row has caught up with."""
DRIFT = "drift"
"""State key, by step: the drift of a row that was last used at that step."""
SHRUNK = "shrunk"
"""State key, by step: the log of the factor of weight decay from the start to that step."""
MAX_MISSED_STEPS = 300
"""Steps after which a mean gradient has vanished (0.9**300 is 2e-14)."""
FIRST_STEPS = 1024
ROWS_AT_ONCE = 1 << 17


class LazyAdamW(AdamW):
    """AdamW whose cost, for a sparse gradient, is proportional to the rows of the gradient.

    AdamW moves a row also in steps without a gradient for it: along its decaying mean gradient,
    and by weight decay. Here the row catches up on both in closed form when it is next read, so
    that its gradient is computed at the same point as under AdamW. After ``g`` missed steps since
    step ``s``,

        drift = sum(lr[i] * c[i] * r**(i - s) / shrunk(i))
        row = (row - drift * mean / sqrt(square)) * shrunk(s + g)
        mean = mean * beta1**g;  square = square * beta2**g

    over ``i = s + 1 .. s + g``, where ``r = beta1 / sqrt(beta2)``, ``c[i]`` is AdamW's bias
    correction and ``shrunk(i)`` the factor of weight decay from ``s`` to ``i``. This equals AdamW
    except for ``eps``.

    Parameters with a dense gradient are updated by AdamW itself. Tables are registered with
    :meth:`follow`; call :meth:`catch_up` before anything else reads one.
    """

    def follow(self, table: nn.Embedding) -> None:
        """Catch up the rows of a table before each training lookup."""

        def catch_up(table: nn.Embedding, inputs: tuple[Tensor, ...]) -> None:
            if table.sparse and torch.is_grad_enabled():
                self._catch_up_rows(
                    table.weight, self._find_group(table.weight), inputs[0].flatten()
                )

        table.register_forward_pre_hook(catch_up)

    @torch.no_grad()
    def catch_up(self) -> None:
        """Catch up every row of every parameter."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if STEP_OF_ROW in self.state.get(parameter, {}):
                    rows = torch.arange(len(parameter), device=parameter.device)
                    for part in rows.split(ROWS_AT_ONCE):
                        self._catch_up_rows(parameter, group, part)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for state in self.state.values():
            if (
                STEP_OF_ROW in state
            ):  # torch casts all entries except "step" to the parameter's type
                state[STEP_OF_ROW] = state[STEP_OF_ROW].to(torch.int32)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        sparse = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._step_rows(parameter, group)
                    sparse.append((parameter, parameter.grad))
                    parameter.grad = None
        super().step()
        for parameter, gradient in sparse:
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
        if STEP_OF_ROW not in state:
            now, device = int(state["step"]), parameter.device
            state[STEP_OF_ROW] = torch.full((len(parameter),), now, dtype=torch.int32).to(device)
            state[DRIFT] = torch.zeros(now + FIRST_STEPS, device=device)
            state[SHRUNK] = torch.zeros(now + FIRST_STEPS, device=device)
        self._catch_up_rows(parameter, group, rows)
        state["step"] += 1
        now, rate, (beta1, beta2) = int(state["step"]), float(group["lr"]), group["betas"]
        mean = state["exp_avg"].index_select(0, rows).lerp_(slope, 1 - beta1)
        square = state["exp_avg_sq"].index_select(0, rows).mul_(beta2)
        square.addcmul_(slope, slope, value=1 - beta2)
        state["exp_avg"].index_copy_(0, rows, mean)
        state["exp_avg_sq"].index_copy_(0, rows, square)
        scale = square.div_(1 - beta2**now).sqrt_().add_(group["eps"])
        values = parameter.index_select(0, rows).mul_(1 - rate * group["weight_decay"])
        values.addcdiv_(mean, scale, value=-rate / (1 - beta1**now))
        parameter.index_copy_(0, rows, values)
        state[STEP_OF_ROW].index_fill_(0, rows, now)
        self._count_missed(state, now, rate, group)

    def _count_missed(
        self, state: dict[str, Any], now: int, rate: float, group: dict[str, Any]
    ) -> None:
        """Add this step to the drift and decay of rows that were last used at earlier steps."""
        if now == len(state[DRIFT]):
            for key in (DRIFT, SHRUNK):
                state[key] = torch.cat([state[key], torch.zeros_like(state[key])])
        beta1, beta2 = group["betas"]
        correction, ratio = (1 - beta2**now) ** 0.5 / (1 - beta1**now), beta1 / beta2**0.5
        shrunk, shrinks = state[SHRUNK], math.log1p(-rate * group["weight_decay"])
        shrunk[now] = shrunk[now - 1] + shrinks
        since = torch.arange(min(now, MAX_MISSED_STEPS), 0, -1, device=shrunk.device)
        then = slice(now - len(since), now)
        state[DRIFT][then] += rate * correction * ratio**since * (shrunk[then] - shrunk[now]).exp()

    @torch.no_grad()
    def _catch_up_rows(self, parameter: Tensor, group: dict[str, Any], rows: Tensor) -> None:
        state = self.state.get(parameter, {})
        if STEP_OF_ROW not in state:
            return
        now = int(state["step"])
        steps = state[STEP_OF_ROW].index_select(0, rows)
        is_behind = steps < now
        if not is_behind.any():
            return
        rows, steps = rows[is_behind], steps[is_behind]
        missed, (beta1, beta2) = (now - steps)[:, None], group["betas"]
        mean, square = (state[key].index_select(0, rows) for key in ("exp_avg", "exp_avg_sq"))
        drift = state[DRIFT][steps][:, None] * mean
        values = parameter.index_select(0, rows)
        values.addcdiv_(drift, square.sqrt().add_(group["eps"]), value=-1)
        shrunk = (state[SHRUNK][now] - state[SHRUNK][steps]).exp_()
        parameter.index_copy_(0, rows, values.mul_(shrunk[:, None]))
        state["exp_avg"].index_copy_(0, rows, mean.mul_(beta1**missed))
        state["exp_avg_sq"].index_copy_(0, rows, square.mul_(beta2**missed))
        state[STEP_OF_ROW].index_fill_(0, rows, now)

    def _find_group(self, parameter: Tensor) -> dict[str, Any]:
        return next(g for g in self.param_groups if any(p is parameter for p in g["params"]))


def adamw(model: nn.Module, *, learning_rate: float, weight_decay: float) -> LazyAdamW:
    """Build AdamW with weight decay on matrices only.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = LazyAdamW(groups, lr=learning_rate, fused=True)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            optimizer.follow(module)
    return optimizer


def clip_gradients(model: nn.Module, max_norm: float) -> Tensor:
    """Scale all gradients, dense and sparse, down to a joint norm of at most ``max_norm``.

    Returns:
        The norm before scaling.
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
    """Build a schedule that grows linearly for ``warmup_steps`` steps.

    After that ``constant`` stays at the peak; ``linear`` and ``cosine`` reach 0 after
    ``total_steps``.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        done = min((step - warmup_steps) / max(total_steps - warmup_steps, 1), 1.0)
        if schedule == "linear":
            return 1 - done
        return (1 + math.cos(math.pi * done)) / 2 if schedule == "cosine" else 1.0

    return LambdaLR(optimizer, factor)
