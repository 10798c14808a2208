"""Rollout workers and the scorer."""

import time
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.prompts import Prompts
from seqrec.rl.rewards import Reward, compute_rewards
from seqrec.rl.rollouts import Rollouts, Span, Weights
from seqrec.rl.sampler import Sampler


class RolloutWorker:
    """Samples slates under the weights that were loaded last."""

    def __init__(self, model: SeqRecForNextItem, sampler: Sampler, seed: int, number: int) -> None:
        self.model = model.eval()
        self.sampler = sampler
        self.seed = seed
        self.number = number
        self.version = 0

    def load(self, weights: Weights, version: int) -> None:
        """Load new weights."""
        self.model.load_state_dict(weights)
        self.version = version

    def generate(self, prompts: Prompts, update: int) -> Rollouts:
        """Sample slates for every prompt.

        They depend on weights, prompts, seed, update and the worker's number only.
        """
        seed = np.random.SeedSequence([self.seed, update, self.number]).generate_state(1)[0]
        return self._draw(prompts, torch.Generator(self.model.device).manual_seed(int(seed)))

    def best(self, prompts: Prompts) -> Rollouts:
        """Return the most probable slate of every prompt, without sampling."""
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
    """Computes the rewards of slates."""

    def __init__(self, reward: Reward) -> None:
        self.reward = reward

    def score(self, rollouts: Rollouts) -> Float[np.ndarray, "B G"]:
        """Return the reward of each slate."""
        prompts = replace(rollouts.prompts, plans=rollouts.plans)
        return compute_rewards(self.reward, prompts, rollouts.items)
