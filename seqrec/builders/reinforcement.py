"""From a recipe to the parts of reinforcement learning: learner, algorithm, workers."""

import copy
from functools import partial
from typing import Any

import torch

from seqrec.config.recipe import Recipe
from seqrec.config.rl import (
    AlgorithmConfig,
    DrGRPOConfig,
    GRPOConfig,
    ReinforceConfig,
    RLConfig,
    RLOOConfig,
)
from seqrec.losses.policy import (
    centred_advantages,
    clipped_policy_gradient,
    leave_one_out_advantages,
    policy_gradient,
    share_clipped,
    standardized_advantages,
)
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.rl.learner import Algorithm, Learner, Reference
from seqrec.rl.sampler import Sampler
from seqrec.rl.worker import RolloutWorker
from seqrec.training.accounting import training_dtype
from seqrec.training.optimizers import adamw


def build_learner(
    recipe: Recipe, settings: RLConfig, policy: SeqRecForNextItem, sampler: Sampler
) -> Learner:
    """The policy, its optimizer, and the reference that it started as."""
    trainer = recipe.trainer
    return Learner(
        policy,
        adamw(policy, learning_rate=trainer.learning_rate, weight_decay=trainer.weight_decay),
        Reference(copy.deepcopy(policy), sampler),
        sampler,
        algorithm=build_algorithm(settings.algorithm),
        entropy_bonus=settings.entropy_bonus,
        gradient_clip=trainer.gradient_clip,
        dtype=training_dtype(trainer.precision, trainer.accelerator),
    )


def build_algorithm(config: AlgorithmConfig) -> Algorithm:
    """How advantages are formed, what is made small, and how often a batch is learned from."""
    match config:
        case GRPOConfig() | DrGRPOConfig():
            is_grpo = isinstance(config, GRPOConfig)
            bounds: dict[str, Any] = {
                "clip_low": config.clip_low,
                "clip_high": config.clip_high,
                "is_sequence_level": config.is_sequence_level,
            }
            return Algorithm(
                standardized_advantages if is_grpo else centred_advantages,
                partial(clipped_policy_gradient, **bounds),
                config.ppo_epochs,
                partial(share_clipped, **bounds),
            )
        case RLOOConfig():
            return Algorithm(leave_one_out_advantages, _without_ratio)
        case ReinforceConfig():
            return Algorithm(torch.clone, _without_ratio)


def _without_ratio(
    log_prob: torch.Tensor, old_log_prob: torch.Tensor, advantages: torch.Tensor
) -> torch.Tensor:
    return policy_gradient(log_prob, advantages)


def _worker(
    config: Any, sampler: Sampler, seed: int, number: int, device: torch.device | None = None
) -> RolloutWorker:
    model = SeqRecForNextItem(copy.deepcopy(config))
    model.to(device)  # type: ignore[arg-type]
    return RolloutWorker(model, sampler, seed, number)
