"""Slates and the distributions from which they are drawn."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.divergence import catalog_divergence
from seqrec.losses.log_prob import catalog_log_prob
from seqrec.losses.softmax import CatalogScores


class Slates(NamedTuple):
    """The slates of every history, and the log-probability of each item given those before it."""

    items: Int[Tensor, "B G K"]
    log_prob: Float[Tensor, "B G W"]
    """Log-probabilities of the plan's features, if there is a plan, and of every item."""
    plans: Int[Tensor, "B G P"] | None = None
    """Codes of the features planned before each slate, if the policy plans."""


class Step(NamedTuple):
    """Distributions of items of slates or features of plans, and the drawn ones."""

    scores: CatalogScores
    items: Int[Tensor, "R L"]
    excluded_items: Int[Tensor, "R M"]
    """Items without probability in each row; -1 pads rows with fewer."""
    weight: Float[Tensor, " R"]
    """Weight of every row in the mean over the items of all slates; they sum to 1."""

    @classmethod
    def of(cls, scores: CatalogScores, items: Tensor, excluded_items: Tensor) -> "Step":
        """Build a step whose rows have equal weights."""
        num_rows = len(items)
        weight = scores.hidden.new_full((num_rows,), 1 / num_rows)
        return cls(scores, items, excluded_items, weight)

    def first(self, num_rows: int) -> "Step":
        """Return the first rows: for steps of slates, the choices after each history."""
        scores = self.scores._replace(hidden=self.scores.hidden[:num_rows])
        return Step(scores, *(part[:num_rows] for part in self[1:]))


def step_log_prob(step: Step) -> Float[Tensor, "R L"]:
    """Return the log-probabilities of the drawn items of each row; with gradients."""
    hidden, item_weight, logit_bias = step.scores
    return catalog_log_prob(hidden, item_weight, step.items, logit_bias=logit_bias)


def mean_kl(steps: Sequence[Step], reference: Sequence[Step]) -> Float[Tensor, ""]:
    """``KL(policy | reference)`` of the next item, in nats per item, over the whole catalog.

    Under Plackett-Luce it is taken after the histories; else it is the mean over the drawn
    prefixes, an unbiased estimate of the slates' divergence per item.
    """
    return torch.stack(
        [
            catalog_divergence(
                own.scores,
                [other.scores],
                kind="reverse_kl",
                row_weight=own.weight,
                total_weight=1.0,
            )
            for own, other in zip(steps, reference, strict=True)
        ]
    ).sum()
