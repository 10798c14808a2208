"""The guard: how far a policy may drift, what it may lose, and what drifting costs it."""

import math
from dataclasses import dataclass
from typing import Any

HORIZON = 0.2
"""Of the adaptive penalty: the largest relative error that a step answers to."""
STEP = 0.5


class KLCoefficient:
    """What a nat of divergence from the reference costs.

    A fixed value, or one that grows while the divergence is above a target and falls while
    it is below: each time by a factor ``1 + STEP * error``, the relative error cut off at
    ``HORIZON``.

    Source: Ziegler et al. 2019, arXiv:1909.08593, section 2.2, with a quicker step.
    """

    def __init__(self, value: float, target_kl_nats: float | None) -> None:
        self.value = value
        self.target_kl_nats = target_kl_nats

    def learn(self, kl_nats: float) -> None:
        """Adapt to what the divergence of an update was."""
        if self.target_kl_nats is not None and math.isfinite(kl_nats):
            error = min(max(kl_nats / self.target_kl_nats - 1, -HORIZON), HORIZON)
            self.value *= 1 + STEP * error


@dataclass(frozen=True)
class Verdict:
    """Whether the weights are good, and if not, why."""

    is_good: bool
    reason: str = ""


class Guard:
    """Says when to go back to the last good weights, and when to stop.

    The divergence, in nats a title and over the whole catalog, may spend a budget that was
    written down beforehand; a ranking metric that is not the reward may fall by a share of what
    the reference has. Whoever went back goes on more carefully: the penalty is doubled, the
    learning rate halved.
    """

    def __init__(
        self,
        *,
        max_kl_nats: float,
        tolerance: float,
        metric: str,
        max_rollbacks: int,
    ) -> None:
        """Set the limits.

        Args:
            max_kl_nats: largest divergence from the reference.
            tolerance: largest fall of the metric, relative to the reference's.
            metric: its name.
            max_rollbacks: times that it goes on after going back; at the next one it stops.
        """
        self.max_kl_nats = max_kl_nats
        self.tolerance = tolerance
        self.metric = metric
        self.reference_metric = float("-inf")
        self.max_rollbacks = max_rollbacks
        self.num_rollbacks = 0

    def start(self, reference_metric: float) -> None:
        """Say what the reference reaches, before anything is learned."""
        self.reference_metric = reference_metric

    def judge(self, kl_nats: float, metric: float) -> Verdict:
        """Of weights whose divergence and metric were measured on held-out histories."""
        if not kl_nats <= self.max_kl_nats:  # not a number is no good either
            return Verdict(
                False,
                f"the drift is {kl_nats:.3f} nats a title, over the budget of {self.max_kl_nats:g}",
            )
        lowest = self.reference_metric * (1 - self.tolerance)
        if not metric >= lowest:
            return Verdict(
                False,
                f"{self.metric} fell to {metric:.4f}, below {lowest:.4f}, which is "
                f"{self.tolerance:.0%} under the reference's {self.reference_metric:.4f}",
            )
        return Verdict(True)

    def roll_back(self) -> bool:
        """Count one more return to good weights; whether to go on after it."""
        self.num_rollbacks += 1
        return self.num_rollbacks <= self.max_rollbacks

    def state_dict(self) -> dict[str, Any]:
        return {
            "num_rollbacks": self.num_rollbacks,
            "reference_metric": self.reference_metric,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.num_rollbacks = state["num_rollbacks"]
        self.reference_metric = state["reference_metric"]
