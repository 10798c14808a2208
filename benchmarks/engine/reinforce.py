"""An update of reinforcement learning: slates drawn, scored, held to the reference, learned."""

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.engine.machine import threads
from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.rows import Row, row
from benchmarks.engine.steps import HIDDEN_SIZE, INNER_SIZE, NUM_BLOCKS, NUM_HEADS
from seqrec.builders.reinforcement import SAMPLERS
from seqrec.config.rl import GRPOConfig
from seqrec.models import SeqRecConfig, SeqRecDecoderConfig, SeqRecForNextItem
from seqrec.models.configuration import SeqRecRewardConfig
from seqrec.models.reward import SeqRecForReward
from seqrec.objectives.reinforcement import build_algorithm
from seqrec.rl.executors import InProcess
from seqrec.rl.learner import Learner, Reference
from seqrec.rl.prompts import Prompts
from seqrec.rl.rewards import LearnedReward
from seqrec.rl.worker import RolloutWorker, Scorer
from seqrec.training.accounting import training_dtype
from seqrec.training.optimizers import adamw

NAME = Path(__file__).stem
NUM_ITEMS, NUM_PROMPTS, NUM_SLATES, SLATE_SIZE, MAX_LENGTH = 3416, 8, 8, 3, 100
VOCAB_SIZE = -(-(NUM_ITEMS + 2) // 64) * 64
PENALTY = 0.04
WARMUP_UPDATES = 5


def measure(quick: bool) -> Iterator[Row]:
    """Yield a row for every sampler."""
    for sampler in SAMPLERS:
        answer = in_fresh_process(NAME, sampler=sampler, num_updates=5 if quick else 60)
        yield row(
            NAME,
            f"update of {NUM_PROMPTS} x {NUM_SLATES} slates of {SLATE_SIZE}, {sampler}",
            [1000 * seconds for seconds in answer["update_seconds"]],
            "ms",
            note=f"generate {1000 * answer['generate']:.1f}, score {1000 * answer['score']:.1f}, "
            f"update {1000 * answer['update']:.1f} ms",
        )


def probe(sampler: str, num_updates: int) -> dict[str, Any]:
    """Seconds of updates after a warm-up, and the medians of their stages."""
    torch.set_num_threads(threads())
    torch.manual_seed(0)
    slates = SAMPLERS[sampler](NUM_SLATES, SLATE_SIZE, 1.0, MAX_LENGTH + SLATE_SIZE)
    policy = model()
    learner = Learner(
        policy,
        adamw(policy, learning_rate=1e-4, weight_decay=0.0),
        Reference(copy.deepcopy(policy), slates),
        slates,
        algorithm=build_algorithm(GRPOConfig()),
        entropy_bonus=0.0,
        gradient_clip=1.0,
        dtype=training_dtype("auto", "cpu"),
    )
    executor = InProcess(
        [RolloutWorker(copy.deepcopy(policy), slates, 0, 0)], Scorer(LearnedReward(reward_model()))
    )
    rng = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {"generate": [], "score": [], "update": []}
    for update in range(num_updates + WARMUP_UPDATES):
        lengths = rng.integers(10, MAX_LENGTH + 1, NUM_PROMPTS)
        histories = [rng.choice(NUM_ITEMS, length, replace=False) for length in lengths]
        ratings = [rng.integers(1, 6, length).astype(float) for length in lengths]
        prompts = Prompts(
            np.arange(NUM_PROMPTS),
            histories,
            [history[:1] for history in histories],
            past_ratings=ratings,
        )
        times = [time.perf_counter()]
        executor.load(learner.weights(), update)
        rollouts = executor.collect(executor.start(prompts, update))
        times.append(time.perf_counter())
        rewards = executor.score(rollouts)
        times.append(time.perf_counter())
        learner.update(rollouts, rewards, PENALTY)
        times.append(time.perf_counter())
        for stage, took in zip(seconds, np.diff(times), strict=True):
            seconds[stage].append(float(took))
    measured = {stage: took[WARMUP_UPDATES:] for stage, took in seconds.items()}
    together = [sum(parts) for parts in zip(*measured.values(), strict=True)]
    medians = {stage: float(np.median(took)) for stage, took in measured.items()}
    return {"update_seconds": together, **medians}


def decoder() -> SeqRecDecoderConfig:
    """A policy of the size that peers are timed with."""
    return SeqRecDecoderConfig(
        block="llama",
        vocab_size=VOCAB_SIZE,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=INNER_SIZE,
        num_hidden_layers=NUM_BLOCKS,
        num_attention_heads=NUM_HEADS,
        max_position_embeddings=MAX_LENGTH + SLATE_SIZE,
        dropout=0.0,
        item_dropout=0.0,
        relative_bias=False,
        gated_residual=False,
        initializer_range=0.02,
        norm_eps=1e-6,
        rope_theta=10_000.0,
        pad_token_id=0,
    )


def model() -> SeqRecForNextItem:
    """A policy with random weights."""
    return SeqRecForNextItem(
        SeqRecConfig(
            backbone_config=decoder(),
            head="tied",
            causal=True,
            cosine_scale=None,
            num_items=NUM_ITEMS,
            padded_num_items=VOCAB_SIZE,
            first_item_token=2,
            max_length=MAX_LENGTH + SLATE_SIZE,
            content=None,
            transition_prior=None,
            catalog_fingerprint="",
            tokenizer_fingerprint="",
        )
    )


def reward_model() -> SeqRecForReward:
    """A reward model of the policy's size, with random weights, over rated histories."""
    return SeqRecForReward(
        SeqRecRewardConfig(
            backbone_config=decoder(),
            head="tied",
            intermediate_size=HIDDEN_SIZE,
            dropout=0.0,
            num_items=NUM_ITEMS,
            padded_num_items=VOCAB_SIZE,
            first_item_token=2,
            max_length=MAX_LENGTH,
            rating_levels=[1.0, 2.0, 3.0, 4.0, 5.0],
            num_rating_rows=7,
            liked=4.0,
            catalog_fingerprint="",
            tokenizer_fingerprint="",
        )
    )
