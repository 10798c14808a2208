"""The roles that generate and score: rollout workers and the scorer."""

import time
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.prompts import Tasks
from seqrec.rl.rewards import Reward, checked
from seqrec.rl.rollouts import Rollouts, Span, Weights
from seqrec.rl.sampler import Asking


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
