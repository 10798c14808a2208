"""The roles of reinforcement learning, as plain objects: swap one, keep the rest.

A rollout worker draws slates, a scorer says what they are worth, a reference says how probable
titles were before it all began, a learner moves the weights. The controller decides which of them
works when.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seqrec.losses.policy import is_informative
from seqrec.losses.slate import entropy, entropy_deficit
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.prompt_batch import PromptBatch
from seqrec.rl.rollouts import Rollouts, Weights, slates_of
from seqrec.rl.sampler import Sampler
from seqrec.rl.slates import Slates, Step, mean_kl
from seqrec.training.optimizers import clip_gradients

Advantages = Callable[[Float[Tensor, "B G"]], Float[Tensor, "B G"]]


class OfSlates(Protocol):
    """A number of slates, its settings bound: a loss, or a share."""

    def __call__(
        self,
        log_prob: Float[Tensor, "B G K"],
        old_log_prob: Float[Tensor, "B G K"],
        advantages: Float[Tensor, "B G"],
    ) -> Float[Tensor, ""]: ...


class Algorithm(NamedTuple):
    """How rewards become a step."""

    advantages: Advantages
    """From rewards to advantages, group by group."""
    loss: OfSlates
    ppo_epochs: int = 1
    """Times that a batch of rollouts is learned from."""
    clipped: OfSlates | None = None
    """The share of titles that the loss clips, if it clips."""


class Reference:
    """The policy as it was, for ever."""

    def __init__(self, model: SeqRecForNextItem, sampler: Sampler) -> None:
        self.model = model.eval().requires_grad_(False)
        self.sampler = sampler

    @torch.no_grad()
    def steps(self, batch: PromptBatch, slates: Slates) -> list[Step]:
        """The distributions that the slates would have been drawn from."""
        return self.sampler.steps(self.model, batch, slates)


class Learner:
    """Holds the policy that is trained, and moves its weights."""

    def __init__(
        self,
        model: SeqRecForNextItem,
        optimizer: torch.optim.Optimizer,
        reference: Reference,
        sampler: Sampler,
        *,
        algorithm: Algorithm,
        entropy_bonus: float,
        gradient_clip: float,
        dtype: torch.dtype,
    ) -> None:
        """Hold what an update needs.

        Args:
            model: the policy.
            optimizer: of its parameters.
            reference: what it may not drift from.
            sampler: how slates were asked for.
            algorithm: how rewards become a step.
            entropy_bonus: what a nat of entropy after a history is worth.
            gradient_clip: largest norm of the gradient.
            dtype: of the products.
        """
        self.model = model
        self.optimizer = optimizer
        self.reference = reference
        self.sampler = sampler
        self.algorithm = algorithm
        self.entropy_bonus = entropy_bonus
        self.gradient_clip = gradient_clip
        self.dtype = dtype
        self.version = 0

    def update(
        self, rollouts: Rollouts, rewards: Float[np.ndarray, "B G"], kl_coef: float
    ) -> dict[str, float]:
        """Learn from slates and their rewards, ``kl_coef`` a nat of drift.

        Returns:
            What happened: ``kl_nats`` a title, ``entropy_nats`` after a history (of a plan and
            the title after it, if the policy plans), the share of ratios beyond their bounds, the
            norm of the gradient, the share of groups that taught something.
        """
        device = self.model.device
        batch = self.sampler.tokenize(self.model, rollouts.prompts)
        slates = slates_of(rollouts, device)
        old = slates.log_prob
        gains = torch.tensor(rewards, device=device, dtype=torch.float32)
        advantages = self.algorithm.advantages(gains)
        stats: dict[str, float] = {
            "informative_group_share": float(is_informative(gains).float().mean())
        }
        with self._autocast():
            theirs = self.reference.steps(batch, slates)
        self.model.train(False)  # dropout would make old and new probabilities differ
        for number in range(self.algorithm.ppo_epochs):
            with self._autocast():
                steps = self.sampler.steps(self.model, batch, slates)
                found = self.sampler.log_probs(steps, slates)
                distance = mean_kl(steps, theirs)
                first = self.sampler.first_choices(steps, len(batch))
                loss = self.algorithm.loss(found, old, advantages) + kl_coef * distance
                if self.entropy_bonus:
                    lacking = [entropy_deficit(step.scores, step.excluded_items) for step in first]
                    loss = loss + self.entropy_bonus * torch.stack(lacking).sum()
                if number == 0:
                    stats["kl_nats"] = float(distance.detach())
                    stats["entropy_nats"] = sum(float(entropy(step.scores)) for step in first)
            self.optimizer.zero_grad()
            loss.backward()
            norm = clip_gradients(self.model, self.gradient_clip)
            self.optimizer.step()
        if self.algorithm.clipped is not None:
            stats["clipped"] = float(self.algorithm.clipped(found.detach(), old, advantages))
        stats["gradient_norm"] = float(norm)
        self.version += 1
        return stats

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.model.device.type, self.dtype, enabled=self.dtype != torch.float32
        )

    @torch.no_grad()
    def measure_kl(self, rollouts: Rollouts) -> float:
        """The divergence from the reference on held-out histories, in nats a title, in float32."""
        batch = self.sampler.tokenize(self.model, rollouts.prompts)
        slates = slates_of(rollouts, self.model.device)
        steps = self.sampler.steps(self.model, batch, slates)
        return float(mean_kl(steps, self.reference.steps(batch, slates)))

    @property
    def num_items(self) -> int:
        """Of the catalog."""
        return int(self.model.config.num_items)

    def weights(self) -> Weights:
        """A copy that others may keep."""
        return {key: value.detach().clone() for key, value in self.model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """A copy of weights and moments: what is learned later does not change it."""
        return {
            "model": self.weights(),
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "version": self.version,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a copy of what ``state_dict`` answered."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.version = state["version"]

    def go_back(self, state: dict[str, Any], slower: float) -> None:
        """Take earlier weights and moments; the learning rate is what it was just now, times this.

        Workers are told of it as of any other change: versions only grow.
        """
        rates = [group["lr"] for group in self.optimizer.param_groups]
        version = self.version
        self.load_state_dict(state)
        self.version = version
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * slower
