"""Rollouts: prompts, the slates sampled for each, and their log-probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.rl.prompts import Prompts
from seqrec.rl.slates import Slates

Weights = dict[str, Tensor]


class Span(NamedTuple):
    """When somebody worked, by ``time.time()``."""

    role: str
    start: float
    end: float


@dataclass(frozen=True)
class Rollouts:
    """Prompts, and the slates that were drawn for each, by weights of a version."""

    prompts: Prompts
    items: Int[np.ndarray, "B G K"]
    log_prob: Float[np.ndarray, "B G W"]
    """Of every title; of what was planned before them, first."""
    version: int
    """Updates that the oldest of the weights had seen."""
    spans: list[Span]
    """Who drew them, and when."""
    plans: Int[np.ndarray, "B G P"] | None = None
    """Codes of what was planned before each slate, if the policy plans."""


def slates_of(rollouts: Rollouts, device: torch.device) -> Slates:
    """What was drawn, as tensors."""
    plans = None if rollouts.plans is None else torch.tensor(rollouts.plans).to(device)
    items, log_prob = (torch.tensor(of) for of in (rollouts.items, rollouts.log_prob))
    return Slates(items.to(device), log_prob.to(device), plans)


def part_of(prompts: Prompts, part: slice) -> Prompts:
    """Some of the prompts."""
    return replace(
        prompts,
        users=prompts.users[part],
        histories=prompts.histories[part],
        later=prompts.later[part],
        later_ratings=None if prompts.later_ratings is None else prompts.later_ratings[part],
        past_ratings=None if prompts.past_ratings is None else prompts.past_ratings[part],
    )


def together(rollouts: Sequence[Rollouts]) -> Rollouts:
    """Those of several workers as one batch, in their order."""
    prompts = Prompts(
        users=np.concatenate([one.prompts.users for one in rollouts]),
        histories=[history for one in rollouts for history in one.prompts.histories],
        later=[later for one in rollouts for later in one.prompts.later],
        later_ratings=_all_of([one.prompts.later_ratings for one in rollouts]),
        past_ratings=_all_of([one.prompts.past_ratings for one in rollouts]),
    )
    return Rollouts(
        prompts,
        np.concatenate([one.items for one in rollouts]),
        np.concatenate([one.log_prob for one in rollouts]),
        min(one.version for one in rollouts),
        [span for one in rollouts for span in one.spans],
        None if rollouts[0].plans is None else np.concatenate([one.plans for one in rollouts]),
    )


def _all_of(ratings: Sequence[list[np.ndarray] | None]) -> list[np.ndarray] | None:
    """The ratings of several batches as those of one; None if one of them knows none."""
    known = [of for of in ratings if of is not None]
    return [rating for of in known for rating in of] if len(known) == len(ratings) else None
