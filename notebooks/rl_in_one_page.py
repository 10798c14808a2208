"""Reinforcement learning of a recommender on one page: no roles, no log, no resume.

The steps of `seqrec train grpo` in one function, to be read before the controller. The policy
samples slates of three items after each history, a reward scores them, and the weights are updated
within a limit on the KL divergence.

    python notebooks/rl_in_one_page.py RUN DATA
"""

import copy
import sys

import numpy as np
import torch

from seqrec import Recommender
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN
from seqrec.losses.policy import clipped_policy_gradient, standardized_advantages
from seqrec.rl.autoregressive import AutoregressiveSampler
from seqrec.rl.prompts import Prompts
from seqrec.rl.slates import mean_kl

NUM_SLATES, SLATE_SIZE = 8, 3  # slates of a history, items of a slate
BATCH, UPDATES = 8, 100
MAX_KL_NATS = 0.2  # largest KL divergence from the reference, per item
KL_COEF = 0.1  # penalty for a nat of it


def prompts(data: PreparedData, rng: np.random.Generator):
    """Yield histories cut at random inside the training part, and the items after the cut."""
    log = data.histories()
    while True:
        users, histories, later = [], [], []
        while len(histories) < BATCH:
            user = rng.integers(len(log.offsets) - 1)
            row = slice(log.offsets[user], log.offsets[user + 1])
            items = log.items[row][log.split[row] == TRAIN]  # held-out interactions give no reward
            if len(items) > 4:
                cut = rng.integers(2, len(items) - 1)
                users.append(user)
                histories.append(items[:cut])
                later.append(items[cut:])
        yield np.array(users), histories, later


def main(run: str, folder: str, num_updates: int = UPDATES) -> float:
    rec = Recommender.from_pretrained(run)
    policy = rec.model
    reference = copy.deepcopy(policy).requires_grad_(False)  # the policy at the start
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-4)
    generator = torch.Generator().manual_seed(0)
    source = prompts(PreparedData.open(folder), np.random.default_rng(0))
    sampler = AutoregressiveSampler(NUM_SLATES, SLATE_SIZE, 1.0, policy.config.max_length - 1)

    for update in range(num_updates):
        users, histories, later = next(source)
        batch = sampler.tokenize(policy, Prompts(users, histories, later))

        # generate: eight slates of three unseen items for every history
        slates = sampler.draw(policy, batch, generator)

        # score: the share of a slate's items among the user's next interactions
        rewards = torch.tensor(
            np.stack([np.isin(s, n).mean(axis=1) for s, n in zip(slates.items, later, strict=True)])
        ).float()

        # guard: the KL divergence from the reference, over the whole catalog
        steps = sampler.steps(policy, batch, slates)
        with torch.no_grad():
            reference_steps = sampler.steps(reference, batch, slates)
        kl = mean_kl(steps, reference_steps)
        if kl > MAX_KL_NATS:
            print(f"update {update}: KL {kl.item():.3f} nats per item is above the limit")
            break

        # update: slates that are better than their group become more likely
        loss = clipped_policy_gradient(
            sampler.log_probs(steps, slates),
            slates.log_prob,
            standardized_advantages(rewards),
            clip_low=0.2,
            clip_high=0.2,
        )
        optimizer.zero_grad()
        (loss + KL_COEF * kl).backward()
        optimizer.step()
        print(f"update {update:3d}  reward {rewards.mean():.4f}  KL {kl.item():.4f} nats")
    return float(rewards.mean())


if __name__ == "__main__":
    main(*sys.argv[1:])
