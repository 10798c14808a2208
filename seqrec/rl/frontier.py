"""The frontier of rewards: the most that a KL budget can buy, computed without training."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.plackett_luce import get_distribution
from seqrec.rl.prompt_batch import PromptBatch
from seqrec.rl.prompts import Prompts, select_prompts
from seqrec.rl.rewards import Reward, compute_rewards

RATIOS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0)
"""Points of the frontier: the standard deviation of an item's reward, over ``beta``."""
MAX_CELLS = 1 << 22
"""Most rewards of prompts and items that are held at once."""
RECALL_K = 10
MIN_KL_NATS = 1e-3
"""Divergence below which a gain is compared with next to nothing."""


class FrontierPoint(NamedTuple):
    """Means over prompts, for one distribution after each history."""

    beta: float | None
    """Price of a nat of KL; None for the reference."""
    kl_nats: float
    sampled_reward: float
    """Expected reward of one item drawn from the distribution."""
    top_reward: float
    """Mean reward of the most probable items, as many as a slate has."""
    recall: float
    """Share of the prompts whose next item is among the ten most probable ones."""


def compute_frontier(
    model: SeqRecForNextItem,
    reward: Reward,
    prompts: Prompts,
    *,
    slate_size: int,
    max_length: int,
) -> list[FrontierPoint]:
    """Return the best distributions for a range of KL divergences from a model.

    For every history, ``p(i) exp(r(i) / beta)`` normalised has the largest expected reward among
    all distributions of its KL divergence from ``p``: no policy of any capacity is above it. The
    reference comes first. The top reward has no such bound: a policy may give other items a
    smaller probability than the frontier does.

    Args:
        model: the reference, whose distribution after a history is ``p``, without seen items.
        reward: a reward that is the mean over the items of a slate (``is_itemwise``).
        prompts: histories.
        slate_size: items of a slate.
        max_length: items of a history that the model reads.

    Source: Ziebart 2010; for language models Rafailov et al. 2023, arXiv:2305.18290, equation 4.
    """
    assert reward.is_itemwise
    num_items = model.num_learned
    size = max(MAX_CELLS // num_items, 1)
    parts = [
        _Part.of(model, reward, select_prompts(prompts, slice(start, start + size)), max_length)
        for start in range(0, len(prompts), size)
    ]
    spread = float(np.mean(np.concatenate([part.reward_spread for part in parts]))) or 1.0
    points = []
    for beta in (None, *(spread / ratio for ratio in RATIOS)):
        rows = torch.cat([part.measure(beta or torch.inf, slate_size) for part in parts])
        points.append(FrontierPoint(beta, *rows.mean(dim=0).tolist()))
    return points


def share_of_frontier(
    points: Sequence[FrontierPoint], reward: float, kl_nats: float
) -> float | None:
    """Return the gain of a policy's top reward as a share of the frontier's at the same KL.

    None where the frontier has no gain, or where the policy has hardly moved.
    """
    if kl_nats < MIN_KL_NATS:
        return None
    kl, rewards = [point.kl_nats for point in points], [point.top_reward for point in points]
    gain = float(np.interp(kl_nats, kl, rewards)) - rewards[0]
    return (reward - rewards[0]) / gain if gain > 0 else None


class _Part(NamedTuple):
    """Some prompts: the reference's log-probabilities, rewards of all items, and next items."""

    log_prob: Float[Tensor, "B I"]
    rewards: Float[Tensor, "B I"]
    next_item: Int[Tensor, " B"]
    reward_spread: Float[np.ndarray, " B"]
    """Standard deviation of the reward of an item drawn from the reference."""

    @classmethod
    @torch.inference_mode()
    def of(
        cls, model: SeqRecForNextItem, reward: Reward, prompts: Prompts, max_length: int
    ) -> "_Part":
        batch = PromptBatch.of(
            prompts.histories,
            blocks=model.config.item_blocks,
            pad_token_id=model.pad_token_id,
            max_length=max_length,
            device=model.device,
        )
        num_items = model.num_learned
        scores = get_distribution(model, batch, 1.0)
        log_prob = scores.logits(slice(0, num_items)).double().log_softmax(dim=1).cpu()
        slates = np.tile(np.arange(num_items)[:, None], (len(prompts), 1, 1))
        rewards = torch.from_numpy(compute_rewards(reward, prompts, slates))
        mean = (log_prob.exp() * rewards).sum(dim=1, keepdim=True)
        spread = (log_prob.exp() * (rewards - mean) ** 2).sum(dim=1).sqrt()
        following = torch.tensor([int(later[0]) for later in prompts.later])
        return cls(log_prob, rewards, following, spread.numpy())

    def measure(self, beta: float, slate_size: int) -> Float[Tensor, "B 4"]:
        """Return the numbers of a ``FrontierPoint`` for every prompt."""
        tilted = (self.log_prob + self.rewards / beta).log_softmax(dim=1)
        prob = tilted.exp()
        kl = (prob * (tilted - self.log_prob)).sum(dim=1)
        top = tilted.topk(min(max(slate_size, RECALL_K), tilted.shape[1]), dim=1).indices
        is_hit = (top[:, :RECALL_K] == self.next_item[:, None]).any(dim=1)
        best = self.rewards.gather(1, top[:, :slate_size]).mean(dim=1)
        return torch.stack([kl, (prob * self.rewards).sum(dim=1), best, is_hit.double()], dim=1)
