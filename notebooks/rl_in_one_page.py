"""Reinforcement learning of a recommender on one page: no roles, no log, no resume.

What `seqrec train grpo` does, flat, to be read before the controller. A history comes in, three
titles go out, somebody says what they are worth, and the weights move, but not too far.

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

NUM_SLATES, SLATE_SIZE = 8, 3  # drawn for each history
BATCH, UPDATES = 8, 100
MAX_KL_NATS = 0.2  # how far the policy may go from where it began, a title
PENALTY = 0.1  # what a nat of that costs


def prompts(data: PreparedData, rng: np.random.Generator):
    """Histories cut somewhere in the training part, and what the person watched after that."""
    log = data.histories()
    while True:
        users, histories, later = [], [], []
        while len(histories) < BATCH:
            user = rng.integers(len(log.offsets) - 1)
            row = slice(log.offsets[user], log.offsets[user + 1])
            items = log.items[row][log.split[row] == TRAIN]  # what is held out rewards nobody
            if len(items) > 4:
                cut = rng.integers(2, len(items) - 1)
                users.append(user)
                histories.append(items[:cut])
                later.append(items[cut:])
        yield np.array(users), histories, later


def main(run: str, folder: str, num_updates: int = UPDATES) -> float:
    rec = Recommender.from_pretrained(run)
    policy = rec.model
    reference = copy.deepcopy(policy).requires_grad_(False)  # the policy as it was
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-4)
    generator = torch.Generator().manual_seed(0)
    source = prompts(PreparedData.open(folder), np.random.default_rng(0))
    sampler = AutoregressiveSampler(NUM_SLATES, SLATE_SIZE, 1.0, policy.config.max_length - 1)

    for update in range(num_updates):
        users, histories, later = next(source)
        batch = sampler.tokenize(policy, Prompts(users, histories, later))

        # generate: eight slates of three titles for every history, none that was seen
        slates = sampler.draw(policy, batch, generator)

        # score: the share of a slate's titles that the person went on to watch
        rewards = torch.tensor(
            np.stack([np.isin(s, a).mean(axis=1) for s, a in zip(slates.items, later, strict=True)])
        ).float()

        # guard: how far the policy is from where it began, over the whole catalog
        steps = sampler.steps(policy, batch, slates)
        with torch.no_grad():
            before = sampler.steps(reference, batch, slates)
        distance = mean_kl(steps, before)
        if distance > MAX_KL_NATS:
            print(f"update {update}: {distance.item():.3f} nats a title: the budget is spent")
            break

        # update: what was better than its group becomes likelier
        loss = clipped_policy_gradient(
            sampler.log_probs(steps, slates),
            slates.log_prob,
            standardized_advantages(rewards),
            clip_low=0.2,
            clip_high=0.2,
        )
        optimizer.zero_grad()
        (loss + PENALTY * distance).backward()
        optimizer.step()
        print(f"update {update:3d}  reward {rewards.mean():.4f}  drift {distance.item():.4f} nats")
    return float(rewards.mean())


if __name__ == "__main__":
    main(*sys.argv[1:])
