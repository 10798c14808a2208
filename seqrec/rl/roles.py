"""The roles of reinforcement learning, as plain objects: swap one, keep the rest.

A rollout worker draws slates, a scorer says what they are worth, a reference says how probable
titles were before it all began, a learner moves the weights. The controller decides which of them
works when.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.divergence import Scores, catalog_divergence
from seqrec.losses.policy import has_spread, share_clipped
from seqrec.losses.slate import left_out
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.rewards import Reward, Tasks, checked
from seqrec.rl.slates import Drawing, Prompts, Slates, Step, draw, drift, log_probs, steps_of
from seqrec.training.optimizers import clip_gradients

Weights = dict[str, Tensor]
Advantages = Callable[[Float[Tensor, "B G"]], Float[Tensor, "B G"]]


class PolicyLoss(Protocol):
    """A loss of slates, its settings bound."""

    def __call__(
        self,
        log_prob: Float[Tensor, "B G K"],
        old_log_prob: Float[Tensor, "B G K"],
        advantages: Float[Tensor, "B G"],
    ) -> Float[Tensor, ""]: ...


@dataclass(frozen=True)
class Asking:
    """How slates are asked for."""

    num_slates: int
    num_titles: int
    drawing: Drawing
    temperature: float
    max_length: int
    """Items of a history that are read."""


class Span(NamedTuple):
    """When somebody worked, by ``time.time()``."""

    role: str
    start: float
    end: float


@dataclass(frozen=True)
class Rollouts:
    """Tasks, and the slates that were drawn for each, by weights of a version."""

    tasks: Tasks
    items: Int[np.ndarray, "B G K"]
    log_prob: Float[np.ndarray, "B G K"]
    version: int
    """Updates that the oldest of the weights had seen."""
    spans: list[Span]
    """Who drew them, and when."""


def prompts_of(model: SeqRecForNextItem, tasks: Tasks, asking: Asking) -> Prompts:
    """The tasks' histories as the model reads them, with room for a slate behind each."""
    room = asking.num_titles - 1 if asking.drawing == "sequential" else 0
    return Prompts.of(
        tasks.histories,
        first_item_token=model.config.first_item_token,
        pad_token_id=model.backbone.config.pad_token_id or 0,
        max_length=asking.max_length - room,
    )


class RolloutWorker:
    """Draws slates under the weights that it was last given."""

    def __init__(self, model: SeqRecForNextItem, asking: Asking, seed: int, number: int) -> None:
        self.model = model.eval()
        self.asking = asking
        self.seed = seed
        self.number = number
        self.version = 0

    def load(self, weights: Weights, version: int) -> None:
        """Take new weights."""
        self.model.load_state_dict(weights)
        self.version = version

    def generate(self, tasks: Tasks, update: int) -> Rollouts:
        """Slates for every task; the same for the same weights, tasks, seed and update."""
        asking, start = self.asking, time.time()
        seed = np.random.SeedSequence([self.seed, update, self.number]).generate_state(1)[0]
        slates = draw(
            self.model,
            prompts_of(self.model, tasks, asking),
            num_slates=asking.num_slates,
            num_titles=asking.num_titles,
            drawing=asking.drawing,
            temperature=asking.temperature,
            generator=torch.Generator().manual_seed(int(seed)),
        )
        return self._rollouts(tasks, slates, start)

    def best(self, tasks: Tasks) -> Rollouts:
        """The most probable titles of every task, nothing sampled."""
        start = time.time()
        slates = draw(
            self.model,
            prompts_of(self.model, tasks, self.asking),
            num_slates=1,
            num_titles=self.asking.num_titles,
            drawing=self.asking.drawing,
            temperature=1.0,
            generator=None,
        )
        return self._rollouts(tasks, slates, start)

    def _rollouts(self, tasks: Tasks, slates: Slates, start: float) -> Rollouts:
        span = Span(f"worker {self.number}", start, time.time())
        items, log_prob = slates.items.numpy(), slates.log_prob.numpy()
        return Rollouts(tasks, items, log_prob, self.version, [span])


class Scorer:
    """Says what slates are worth."""

    def __init__(self, reward: Reward) -> None:
        self.reward = reward

    def score(self, rollouts: Rollouts) -> Float[np.ndarray, "B G"]:
        """A number a slate."""
        return checked(self.reward, rollouts.tasks, rollouts.items)


class Reference:
    """The policy as it was, for ever."""

    def __init__(self, model: SeqRecForNextItem, asking: Asking) -> None:
        self.model = model.eval().requires_grad_(False)
        self.asking = asking

    @torch.no_grad()
    def steps(self, prompts: Prompts, items: Int[Tensor, "B G K"]) -> list[Step]:
        """The distributions that the slates' titles would have been drawn from."""
        return steps_of(
            self.model,
            prompts,
            items,
            drawing=self.asking.drawing,
            temperature=self.asking.temperature,
        )


class Learner:
    """Holds the policy that is trained, and moves its weights."""

    def __init__(
        self,
        model: SeqRecForNextItem,
        optimizer: torch.optim.Optimizer,
        reference: Reference,
        asking: Asking,
        *,
        advantages: Advantages,
        loss: PolicyLoss,
        num_passes: int,
        entropy_bonus: float,
        gradient_clip: float,
        dtype: torch.dtype,
    ) -> None:
        """Hold what an update needs.

        Args:
            model: the policy.
            optimizer: of its parameters.
            reference: what it may not drift from.
            asking: how slates were asked for.
            advantages: from rewards to advantages, group by group.
            loss: of slates.
            num_passes: times that a batch of rollouts is learned from.
            entropy_bonus: what a nat of entropy after a history is worth.
            gradient_clip: largest norm of the gradient.
            dtype: of the products.
        """
        self.model = model
        self.optimizer = optimizer
        self.reference = reference
        self.asking = asking
        self.advantages = advantages
        self.loss = loss
        self.num_passes = num_passes
        self.entropy_bonus = entropy_bonus
        self.gradient_clip = gradient_clip
        self.dtype = dtype
        self.version = 0

    def update(
        self, rollouts: Rollouts, rewards: Float[np.ndarray, "B G"], penalty: float
    ) -> dict[str, float]:
        """Learn from slates and their rewards, ``penalty`` a nat of drift.

        Returns:
            What happened: ``drift_nats`` a title, ``entropy_nats`` after a history, the share of
            ratios beyond their bounds, the norm of the gradient, the share of groups that
            taught something.
        """
        device = self.model.device
        prompts = prompts_of(self.model, rollouts.tasks, self.asking)
        items = torch.tensor(rollouts.items).to(device)
        old = torch.tensor(rollouts.log_prob).to(device)
        gains = torch.tensor(rewards, device=device, dtype=torch.float32)
        advantages = self.advantages(gains)
        stats: dict[str, float] = {"groups_with_spread": float(has_spread(gains).float().mean())}
        with self._autocast():
            theirs = self.reference.steps(prompts, items)
        self.model.train(False)  # dropout would make old and new probabilities differ
        for number in range(self.num_passes):
            with self._autocast():
                steps = steps_of(
                    self.model,
                    prompts,
                    items,
                    drawing=self.asking.drawing,
                    temperature=self.asking.temperature,
                )
                found = log_probs(steps, items.shape, self.asking.drawing)
                distance = drift(steps, theirs)
                unevenness = _unevenness(steps[0])
                loss = self.loss(found, old, advantages)
                loss = loss + penalty * distance + self.entropy_bonus * unevenness
            self.optimizer.zero_grad()
            loss.backward()
            norm = clip_gradients(self.model, self.gradient_clip)
            self.optimizer.step()
            if number == 0:
                num_unseen = self.model.config.num_items - (prompts.seen >= 0).sum(dim=1)
                stats |= {
                    "drift_nats": float(distance.detach()),
                    "entropy_nats": float(num_unseen.log().mean() - unevenness.detach()),
                }
        stats["clipped"] = float(
            share_clipped(found.detach(), old, advantages, clip_low=0.2, clip_high=0.2)
        )
        stats["gradient_norm"] = float(norm)
        self.version += 1
        return stats

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.model.device.type, self.dtype, enabled=self.dtype != torch.float32
        )

    @torch.no_grad()
    def drift_on(self, rollouts: Rollouts) -> float:
        """The divergence from the reference on held-out histories, in nats a title, in float32."""
        prompts = prompts_of(self.model, rollouts.tasks, self.asking)
        items = torch.tensor(rollouts.items)
        steps = steps_of(
            self.model,
            prompts,
            items,
            drawing=self.asking.drawing,
            temperature=self.asking.temperature,
        )
        return float(drift(steps, self.reference.steps(prompts, items)))

    def weights(self) -> Weights:
        """A copy that others may keep."""
        return {key: value.detach().clone() for key, value in self.model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.weights(),
            "optimizer": self.optimizer.state_dict(),
            "version": self.version,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.version = state["version"]

    def slow_down(self, factor: float) -> None:
        """Multiply the learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] *= factor


def _unevenness(step: Step) -> Float[Tensor, ""]:
    """``KL(policy | uniform over what is unseen)``: the log of their number minus the entropy."""
    scores = step.scores
    uniform = Scores(
        scores.hidden.new_zeros(len(scores.hidden), 1),
        scores.item_weight.new_zeros(len(scores.item_weight), 1),
        left_out(step.gone),
    )
    return catalog_divergence(scores, [uniform], kind="reverse_kl")


def part_of(tasks: Tasks, part: slice) -> Tasks:
    """Some of the tasks."""
    ratings = None if tasks.later_ratings is None else tasks.later_ratings[part]
    return replace(
        tasks,
        users=tasks.users[part],
        histories=tasks.histories[part],
        later=tasks.later[part],
        later_ratings=ratings,
    )


def together(rollouts: Sequence[Rollouts]) -> Rollouts:
    """Those of several workers as one batch, in their order."""
    ratings = [one.tasks.later_ratings for one in rollouts]
    tasks = Tasks(
        users=np.concatenate([one.tasks.users for one in rollouts]),
        histories=[history for one in rollouts for history in one.tasks.histories],
        later=[later for one in rollouts for later in one.tasks.later],
        later_ratings=None
        if any(of is None for of in ratings)
        else [rating for of in ratings for rating in of or []],
    )
    return Rollouts(
        tasks,
        np.concatenate([one.items for one in rollouts]),
        np.concatenate([one.log_prob for one in rollouts]),
        min(one.version for one in rollouts),
        [span for one in rollouts for span in one.spans],
    )
