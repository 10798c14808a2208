"""The roles of reinforcement learning, as plain objects: swap one, keep the rest.

A rollout worker draws slates, a scorer says what they are worth, a reference says how probable
titles were before it all began, a learner moves the weights. The controller decides which of them
works when.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.losses.policy import has_spread
from seqrec.losses.slate import entropy, unevenness
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.plans import Plans
from seqrec.rl.rewards import Reward, Tasks, checked
from seqrec.rl.slates import Drawing, Prompts, Slates, Step, draw, drift, log_probs, steps_of
from seqrec.training.optimizers import clip_gradients

Weights = dict[str, Tensor]
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
    num_passes: int = 1
    """Times that a batch of rollouts is learned from."""
    clipped: OfSlates | None = None
    """The share of titles that the loss clips, if it clips."""


@dataclass(frozen=True)
class Asking:
    """How slates are asked for."""

    num_slates: int
    num_titles: int
    drawing: Drawing
    temperature: float
    max_length: int
    """Items of a history that are read."""
    plans: Plans | None = None
    """How the policy plans before it answers, if it does."""

    def prompts(self, model: SeqRecForNextItem, tasks: Tasks) -> Prompts:
        """The tasks' histories as the model reads them, with room for a slate behind each."""
        if self.plans is not None:
            return self.plans.prompts(model, tasks.histories, self.max_length)
        room = self.num_titles - 1 if self.drawing == "sequential" else 0
        return Prompts.of(
            tasks.histories,
            first_item_token=model.config.first_item_token,
            pad_token_id=model.backbone.config.pad_token_id or 0,
            max_length=self.max_length - room,
            device=model.device,
        )

    def draw(
        self, model: SeqRecForNextItem, prompts: Prompts, generator: torch.Generator | None
    ) -> Slates:
        """As many slates as are asked for; without a generator the most probable one."""
        way = partial(draw, drawing=self.drawing) if self.plans is None else self.plans.draw
        return way(
            model,
            prompts,
            num_slates=1 if generator is None else self.num_slates,
            num_titles=self.num_titles,
            temperature=1.0 if generator is None else self.temperature,
            generator=generator,
        )

    def steps(self, model: SeqRecForNextItem, prompts: Prompts, slates: Slates) -> list[Step]:
        """The distributions that slates came from, under a model."""
        if self.plans is not None and slates.plans is not None:
            return self.plans.steps_of(
                model, prompts, slates.plans, slates.items, temperature=self.temperature
            )
        return steps_of(
            model, prompts, slates.items, drawing=self.drawing, temperature=self.temperature
        )

    def log_probs(self, steps: Sequence[Step], slates: Slates) -> Float[Tensor, "B G W"]:
        """Of every title, and of what was planned before, given what stands ahead of it."""
        if self.plans is not None:
            return self.plans.log_probs(steps, slates.items.shape)
        return log_probs(steps, slates.items.shape, self.drawing)

    def first_choices(self, steps: Sequence[Step], num_histories: int) -> Sequence[Step]:
        """The steps whose entropy is that of the next title, and of the plan before it."""
        return steps if self.plans is not None else [steps[0].first(num_histories)]


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
        seed = np.random.SeedSequence([self.seed, update, self.number]).generate_state(1)[0]
        return self._draw(tasks, torch.Generator(self.model.device).manual_seed(int(seed)))

    def best(self, tasks: Tasks) -> Rollouts:
        """The most probable titles of every task, nothing sampled."""
        return self._draw(tasks, None)

    @torch.inference_mode()
    def _draw(self, tasks: Tasks, generator: torch.Generator | None) -> Rollouts:
        start = time.time()
        prompts = self.asking.prompts(self.model, tasks)
        slates = self.asking.draw(self.model, prompts, generator)
        span = Span(f"worker {self.number}", start, time.time())
        items, log_prob = slates.items.cpu().numpy(), slates.log_prob.cpu().numpy()
        plans = None if slates.plans is None else slates.plans.cpu().numpy()
        return Rollouts(tasks, items, log_prob, self.version, [span], plans)


class Scorer:
    """Says what slates are worth."""

    def __init__(self, reward: Reward) -> None:
        self.reward = reward

    def score(self, rollouts: Rollouts) -> Float[np.ndarray, "B G"]:
        """A number a slate."""
        tasks = replace(rollouts.tasks, plans=rollouts.plans)
        return checked(self.reward, tasks, rollouts.items)


class Reference:
    """The policy as it was, for ever."""

    def __init__(self, model: SeqRecForNextItem, asking: Asking) -> None:
        self.model = model.eval().requires_grad_(False)
        self.asking = asking

    @torch.no_grad()
    def steps(self, prompts: Prompts, slates: Slates) -> list[Step]:
        """The distributions that the slates would have been drawn from."""
        return self.asking.steps(self.model, prompts, slates)


class Learner:
    """Holds the policy that is trained, and moves its weights."""

    def __init__(
        self,
        model: SeqRecForNextItem,
        optimizer: torch.optim.Optimizer,
        reference: Reference,
        asking: Asking,
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
            asking: how slates were asked for.
            algorithm: how rewards become a step.
            entropy_bonus: what a nat of entropy after a history is worth.
            gradient_clip: largest norm of the gradient.
            dtype: of the products.
        """
        self.model = model
        self.optimizer = optimizer
        self.reference = reference
        self.asking = asking
        self.algorithm = algorithm
        self.entropy_bonus = entropy_bonus
        self.gradient_clip = gradient_clip
        self.dtype = dtype
        self.version = 0

    def update(
        self, rollouts: Rollouts, rewards: Float[np.ndarray, "B G"], penalty: float
    ) -> dict[str, float]:
        """Learn from slates and their rewards, ``penalty`` a nat of drift.

        Returns:
            What happened: ``drift_nats`` a title, ``entropy_nats`` after a history (of a plan and
            the title after it, if the policy plans), the share of ratios beyond their bounds, the
            norm of the gradient, the share of groups that taught something.
        """
        device = self.model.device
        prompts = self.asking.prompts(self.model, rollouts.tasks)
        slates = slates_of(rollouts, device)
        old = slates.log_prob
        gains = torch.tensor(rewards, device=device, dtype=torch.float32)
        advantages = self.algorithm.advantages(gains)
        stats: dict[str, float] = {"groups_with_spread": float(has_spread(gains).float().mean())}
        with self._autocast():
            theirs = self.reference.steps(prompts, slates)
        self.model.train(False)  # dropout would make old and new probabilities differ
        for number in range(self.algorithm.num_passes):
            with self._autocast():
                steps = self.asking.steps(self.model, prompts, slates)
                found = self.asking.log_probs(steps, slates)
                distance = drift(steps, theirs)
                first = self.asking.first_choices(steps, len(prompts))
                loss = self.algorithm.loss(found, old, advantages) + penalty * distance
                if self.entropy_bonus:
                    lacking = [unevenness(step.scores, step.gone) for step in first]
                    loss = loss + self.entropy_bonus * torch.stack(lacking).sum()
                if number == 0:
                    stats["drift_nats"] = float(distance.detach())
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
    def drift_on(self, rollouts: Rollouts) -> float:
        """The divergence from the reference on held-out histories, in nats a title, in float32."""
        prompts = self.asking.prompts(self.model, rollouts.tasks)
        slates = slates_of(rollouts, self.model.device)
        steps = self.asking.steps(self.model, prompts, slates)
        return float(drift(steps, self.reference.steps(prompts, slates)))

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


def part_of(tasks: Tasks, part: slice) -> Tasks:
    """Some of the tasks."""
    return replace(
        tasks,
        users=tasks.users[part],
        histories=tasks.histories[part],
        later=tasks.later[part],
        later_ratings=None if tasks.later_ratings is None else tasks.later_ratings[part],
        past_ratings=None if tasks.past_ratings is None else tasks.past_ratings[part],
    )


def together(rollouts: Sequence[Rollouts]) -> Rollouts:
    """Those of several workers as one batch, in their order."""
    tasks = Tasks(
        users=np.concatenate([one.tasks.users for one in rollouts]),
        histories=[history for one in rollouts for history in one.tasks.histories],
        later=[later for one in rollouts for later in one.tasks.later],
        later_ratings=_all_of([one.tasks.later_ratings for one in rollouts]),
        past_ratings=_all_of([one.tasks.past_ratings for one in rollouts]),
    )
    return Rollouts(
        tasks,
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
