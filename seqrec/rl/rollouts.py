"""Rollouts: prompts, the slates sampled for each, and their log-probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.rl.prompts import Prompts
from seqrec.rl.slates import Slates
from seqrec.training.tensors import queue_copy

Weights = dict[str, Tensor]


class Span(NamedTuple):
    """Start and end of a role's work, by ``time.time()``."""

    role: str
    start: float
    end: float


@dataclass(frozen=True)
class Rollouts:
    """Prompts and the slates that a version of the weights sampled for each."""

    prompts: Prompts
    items: Int[np.ndarray, "B G K"]
    log_prob: Float[np.ndarray, "B G W"]
    """Log-probabilities of the plan's features, if there is a plan, and of every item."""
    version: int
    """Number of updates of the oldest weights."""
    spans: list[Span]
    """The workers' roles and times."""
    plans: Int[np.ndarray, "B G P"] | None = None
    """Codes of the features planned before each slate, if the policy plans."""


def build_slates(rollouts: Rollouts, device: torch.device) -> Slates:
    """Return the slates as tensors."""
    items, log_prob = (torch.tensor(part) for part in (rollouts.items, rollouts.log_prob))
    plans = None if rollouts.plans is None else queue_copy(torch.tensor(rollouts.plans), device)
    return Slates(queue_copy(items, device), queue_copy(log_prob, device), plans)


def pack_rollouts(rollouts: Rollouts, since: float) -> dict[str, Any]:
    """Return slates as tensors and numbers, without their prompts, which their update determines.

    Args:
        rollouts: prompts and slates.
        since: the time from which that of the spans counts.
    """
    arrays = {"items": rollouts.items, "log_prob": rollouts.log_prob, "plans": rollouts.plans}
    return {
        **{key: None if one is None else torch.tensor(one) for key, one in arrays.items()},
        "version": rollouts.version,
        "spans": [[span.role, span.start - since, span.end - since] for span in rollouts.spans],
    }


def unpack_rollouts(packed: dict[str, Any], prompts: Prompts, since: float) -> Rollouts:
    """Return the rollouts of ``pack_rollouts``, with their prompts and times since another."""
    items, log_prob = (packed[key].numpy() for key in ("items", "log_prob"))
    plans = None if packed["plans"] is None else packed["plans"].numpy()
    spans = [Span(role, start + since, end + since) for role, start, end in packed["spans"]]
    return Rollouts(prompts, items, log_prob, packed["version"], spans, plans)


def join_rollouts(rollouts: Sequence[Rollouts]) -> Rollouts:
    """Join the rollouts of several workers, in their order."""
    prompts = Prompts(
        users=np.concatenate([one.prompts.users for one in rollouts]),
        histories=[history for one in rollouts for history in one.prompts.histories],
        later=[later for one in rollouts for later in one.prompts.later],
        later_ratings=_join_ratings([one.prompts.later_ratings for one in rollouts]),
        past_ratings=_join_ratings([one.prompts.past_ratings for one in rollouts]),
    )
    return Rollouts(
        prompts,
        np.concatenate([one.items for one in rollouts]),
        np.concatenate([one.log_prob for one in rollouts]),
        min(one.version for one in rollouts),
        [span for one in rollouts for span in one.spans],
        None if rollouts[0].plans is None else np.concatenate([one.plans for one in rollouts]),
    )


def _join_ratings(ratings: Sequence[list[np.ndarray] | None]) -> list[np.ndarray] | None:
    """Join the ratings of several batches; None if one has none."""
    known = [batch for batch in ratings if batch is not None]
    return [one for batch in known for one in batch] if len(known) == len(ratings) else None
