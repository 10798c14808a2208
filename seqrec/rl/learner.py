"""The learner of reinforcement learning, its algorithm and its reference."""

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
from seqrec.models.plain_weights import plain_weights
from seqrec.rl.prompt_batch import PromptBatch
from seqrec.rl.rollouts import Rollouts, Weights, build_slates
from seqrec.rl.sampler import Sampler
from seqrec.rl.slates import Slates, Step, mean_kl
from seqrec.training.optimizers import clip_gradients
from seqrec.training.tensors import queue_copy

Advantages = Callable[[Float[Tensor, "B G"]], Float[Tensor, "B G"]]


class SlateFunction(Protocol):
    """A function of the slates of a batch, such as a loss; settings are bound."""

    def __call__(
        self,
        log_prob: Float[Tensor, "B G K"],
        old_log_prob: Float[Tensor, "B G K"],
        advantages: Float[Tensor, "B G"],
    ) -> Float[Tensor, ""]: ...


class Algorithm(NamedTuple):
    """The computation of advantages and loss from rewards."""

    advantages: Advantages
    """Returns the advantages of rewards, by group."""
    loss: SlateFunction
    ppo_epochs: int = 1
    """Passes over a batch of rollouts."""
    clipped: SlateFunction | None = None
    """Returns the share of items whose ratio is clipped; None without clipping."""


class Reference:
    """The frozen policy at the start."""

    def __init__(self, model: SeqRecForNextItem, sampler: Sampler) -> None:
        self.model = model.eval().requires_grad_(False)
        self.sampler = sampler

    @torch.no_grad()
    def steps(self, batch: PromptBatch, slates: Slates) -> list[Step]:
        """Return the reference's distributions for the slates."""
        return self.sampler.steps(self.model, batch, slates)


def read_together(numbers: dict[str, Float[Tensor, ""]]) -> dict[str, float]:
    """Return numbers of a device by name; the host waits for it once."""
    values = torch.stack([value.float() for value in numbers.values()]).tolist()
    return dict(zip(numbers, values, strict=True))


class Learner:
    """Holds the trained policy, and updates its weights."""

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
        """Set the parts of an update.

        Args:
            model: the policy.
            optimizer: optimizer of its parameters.
            reference: model from which the KL divergence is measured.
            sampler: sampler of the rollouts.
            algorithm: advantages and loss.
            entropy_bonus: bonus for a nat of entropy after a history.
            gradient_clip: largest norm of the gradient.
            dtype: precision of the products.
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
        """Update the policy on slates and their rewards.

        Args:
            rollouts: prompts and slates.
            rewards: reward of each slate.
            kl_coef: penalty for a nat of KL divergence.

        Returns:
            Statistics: ``kl_nats`` per item, ``entropy_nats`` after a history (of a plan and the
            item after it, if the policy plans), the share of clipped ratios, the norm of the
            gradient, the share of informative groups.
        """
        device = self.model.device
        batch = self.sampler.tokenize(self.model, rollouts.prompts)
        slates = build_slates(rollouts, device)
        old = slates.log_prob
        reward_tensor = queue_copy(torch.tensor(rewards, dtype=torch.float32), device)
        advantages = self.algorithm.advantages(reward_tensor)
        stats = {"informative_group_share": is_informative(reward_tensor).float().mean()}
        with self._autocast():
            reference_steps = self.reference.steps(batch, slates)
        self.model.train(False)  # dropout would make old and new probabilities differ
        for number in range(self.algorithm.ppo_epochs):
            with self._autocast():
                steps = self.sampler.steps(self.model, batch, slates)
                log_prob = self.sampler.log_probs(steps, slates)
                kl = mean_kl(steps, reference_steps)
                first = self.sampler.first_choices(steps, len(batch))
                loss = self.algorithm.loss(log_prob, old, advantages) + kl_coef * kl
                if self.entropy_bonus:
                    deficits = [entropy_deficit(step.scores, step.excluded_items) for step in first]
                    loss = loss + self.entropy_bonus * torch.stack(deficits).sum()
                if number == 0:
                    stats["kl_nats"] = kl.detach()
                    stats["entropy_nats"] = torch.stack([entropy(s.scores) for s in first]).sum()
            self.optimizer.zero_grad()
            loss.backward()
            norm = clip_gradients(self.model, self.gradient_clip)
            self.optimizer.step()
        if self.algorithm.clipped is not None:
            stats["clipped"] = self.algorithm.clipped(log_prob.detach(), old, advantages)
        stats["gradient_norm"] = norm
        self.version += 1
        return read_together(stats)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.model.device.type, self.dtype, enabled=self.dtype != torch.float32
        )

    @torch.no_grad()
    def measure_kl(self, rollouts: Rollouts) -> float:
        """Return the KL divergence from the reference on held-out histories, in nats per item."""
        batch = self.sampler.tokenize(self.model, rollouts.prompts)
        slates = build_slates(rollouts, self.model.device)
        steps = self.sampler.steps(self.model, batch, slates)
        return float(mean_kl(steps, self.reference.steps(batch, slates)))

    @property
    def num_items(self) -> int:
        """The size of the catalog."""
        return int(self.model.config.num_items)

    def weights(self) -> Weights:
        """Return a copy of the weights as a worker loads them: adapters are merged."""
        return plain_weights(self.model, self._copy_weights())

    def _copy_weights(self) -> Weights:
        return {key: value.detach().clone() for key, value in self.model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of weights and moments, which later updates do not change."""
        return {
            "model": self._copy_weights(),
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "version": self.version,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a copy of a state."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.version = state["version"]

    def roll_back(self, state: dict[str, Any], rate_factor: float) -> None:
        """Restore earlier weights and moments, and multiply the current learning rate by a factor.

        The version keeps growing, so that workers load the restored weights.
        """
        rates = [group["lr"] for group in self.optimizer.param_groups]
        version = self.version
        self.load_state_dict(state)
        self.version = version
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * rate_factor
