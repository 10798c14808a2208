"""The roles that generate and score: rollout workers and the scorer."""

import time
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.prompts import Prompts
from seqrec.rl.rewards import Reward, checked
from seqrec.rl.rollouts import Rollouts, Span, Weights
from seqrec.rl.sampler import Sampler


class RolloutWorker:
    """Draws slates under the weights that it was last given."""

    def __init__(self, model: SeqRecForNextItem, sampler: Sampler, seed: int, number: int) -> None:
        self.model = model.eval()
        self.sampler = sampler
        self.seed = seed
        self.number = number
        self.version = 0

    def load(self, weights: Weights, version: int) -> None:
        """Take new weights."""
        self.model.load_state_dict(weights)
        self.version = version

    def generate(self, prompts: Prompts, update: int) -> Rollouts:
        """Slates for every task; the same for the same weights, prompts, seed and update."""
        seed = np.random.SeedSequence([self.seed, update, self.number]).generate_state(1)[0]
        return self._draw(prompts, torch.Generator(self.model.device).manual_seed(int(seed)))

    def best(self, prompts: Prompts) -> Rollouts:
        """The most probable titles of every task, nothing sampled."""
        return self._draw(prompts, None)

    @torch.inference_mode()
    def _draw(self, prompts: Prompts, generator: torch.Generator | None) -> Rollouts:
        start = time.time()
        batch = self.sampler.tokenize(self.model, prompts)
        slates = self.sampler.draw(self.model, batch, generator)
        span = Span(f"worker {self.number}", start, time.time())
        items, log_prob = slates.items.cpu().numpy(), slates.log_prob.cpu().numpy()
        plans = None if slates.plans is None else slates.plans.cpu().numpy()
        return Rollouts(prompts, items, log_prob, self.version, [span], plans)


class Scorer:
    """Says what slates are worth."""

    def __init__(self, reward: Reward) -> None:
        self.reward = reward

    def score(self, rollouts: Rollouts) -> Float[np.ndarray, "B G"]:
        """A number a slate."""
        prompts = replace(rollouts.prompts, plans=rollouts.plans)
        return checked(self.reward, prompts, rollouts.items)
