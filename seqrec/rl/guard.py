"""The guard: limits on the policy's KL divergence and metric, and the adaptive KL penalty."""

import math
from dataclasses import dataclass
from typing import Any

HORIZON = 0.2
"""Clipping bound of the relative error in a step of the KL coefficient."""
STEP = 0.5
"""Relative change of the KL coefficient per unit of relative error."""


class KLCoefficient:
    """The penalty for a nat of divergence from the reference.

    It is fixed, or adapted to a target divergence: each update multiplies it by
    ``1 + STEP * error``, with the relative error clipped at ``HORIZON``.

    Source: Ziegler et al. 2019, arXiv:1909.08593, section 2.2, with a larger step.
    """

    def __init__(self, value: float, target_kl_nats: float | None) -> None:
        self.value = value
        self.target_kl_nats = target_kl_nats

    def adapt(self, kl_nats: float) -> None:
        """Adapt the coefficient to the divergence of an update."""
        if self.target_kl_nats is not None and math.isfinite(kl_nats):
            error = min(max(kl_nats / self.target_kl_nats - 1, -HORIZON), HORIZON)
            self.value *= 1 + STEP * error


@dataclass(frozen=True)
class Verdict:
    """The guard's decision on weights, with the reason of a rejection."""

    is_good: bool
    reason: str = ""


class Guard:
    """Decides when to roll back to the last good weights, and when to stop.

    Weights are good if their divergence from the reference, in nats per item over the whole
    catalog, is within a limit, and a ranking metric is not below the reference's by more than a
    tolerance. After a rollback the controller doubles the penalty and halves the learning rate.
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
            metric: name of the metric.
            max_rollbacks: rollbacks that a run survives; the next one ends it.
        """
        self.max_kl_nats = max_kl_nats
        self.tolerance = tolerance
        self.metric = metric
        self.reference_metric = float("-inf")
        self.max_rollbacks = max_rollbacks
        self.num_rollbacks = 0

    def start(self, reference_metric: float) -> None:
        """Set the reference's metric, before training."""
        self.reference_metric = reference_metric

    def judge(self, kl_nats: float, metric: float) -> Verdict:
        """Judge weights by their divergence and metric on held-out histories."""
        if not kl_nats <= self.max_kl_nats:  # also rejects NaN
            return Verdict(
                False,
                f"KL is {kl_nats:.3f} nats per item, above the limit of {self.max_kl_nats:g}",
            )
        lowest = self.reference_metric * (1 - self.tolerance)
        if not metric >= lowest:
            return Verdict(
                False,
                f"{self.metric} fell to {metric:.4f}, below {lowest:.4f}, which is "
                f"{self.tolerance:.0%} below the reference's {self.reference_metric:.4f}",
            )
        return Verdict(True)

    def roll_back(self) -> bool:
        """Count a rollback, and return True if training continues after it."""
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
