"""Builds the scorer of slates from the rewards of a recipe."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
from jaxtyping import Int

from seqrec.config.rl import (
    DiversityConfig,
    FormatConfig,
    FreshnessConfig,
    FunctionConfig,
    HitConfig,
    ModelRewardConfig,
    NoveltyConfig,
    RatingConfig,
    RewardConfig,
)
from seqrec.data.catalog import read_model_items
from seqrec.data.item_columns import genre_matrix, item_numbers
from seqrec.data.item_mapping import ItemMapping
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models.folder import ITEMS_FILE, load_reward_model, model_folder
from seqrec.rl.rewards import (
    Diversity,
    Format,
    Freshness,
    FunctionReward,
    Hit,
    LearnedReward,
    Mixture,
    Novelty,
    Rating,
    Reward,
    RewardFunction,
)
from seqrec.rl.worker import Scorer
from seqrec.tokens.events.coder import EventCoder

REWARD_KEY = "objective.rewards.path"


def build_scorer(
    configs: Sequence[RewardConfig], prepared: PreparedData, coder: EventCoder | None = None
) -> Callable[[], Scorer]:
    """Return a function that builds the scorer in any process; errors are raised here.

    Args:
        configs: the rewards.
        prepared: data with the items that they score.
        coder: coder of the policy's grammar; None without plans.

    Raises:
        SeqRecError: a reward that the data or the recipe does not support.
    """
    builders = [(config.weight, _get_builder(config, prepared, coder)) for config in configs]
    return partial(_build_scorer, builders)


def _build_scorer(builders: Sequence[tuple[float, Callable[[], Reward]]]) -> Scorer:
    return Scorer(Mixture([(weight, build()) for weight, build in builders]))


def _get_builder(
    config: RewardConfig, prepared: PreparedData, coder: EventCoder | None
) -> Callable[[], Reward]:
    items = prepared.items()
    match config:
        case HitConfig():
            return Hit
        case RatingConfig():
            return Rating
        case DiversityConfig():
            genres = genre_matrix(items)
            if genres is None:
                raise SeqRecError(
                    f"objective.rewards: diversity needs genres, which the items of "
                    f"{prepared.path} lack"
                )
            return partial(Diversity, genres)
        case NoveltyConfig():
            return partial(Novelty, prepared.histories().item_counts(prepared.num_items))
        case FreshnessConfig(column=column):
            numbers = item_numbers(items, column, "objective.rewards: freshness")
            return partial(Freshness, numbers)
        case FormatConfig():
            assert coder is not None
            return partial(Format, get_planned_codes(coder))
        case ModelRewardConfig():
            check_reward_model(config, prepared)
            return partial(_build_learned_reward, find_reward_folder(config))
        case FunctionConfig(function=name, max_seconds=max_seconds):
            load_reward_function(name)
            item_ids = items["item_id"].to_list()
            return partial(_build_own_reward, name, item_ids, max_seconds)
    raise AssertionError(config)


def get_planned_codes(coder: EventCoder) -> Int[np.ndarray, "I P"]:
    """Return the code of every item for each feature that a policy plans.

    Raises:
        SeqRecError: a planned feature is not read from the items.
    """
    indices = coder.grammar.plan_indices
    for index in indices:
        if index not in coder.item_codes:
            name = coder.grammar.features[index].name
            raise SeqRecError(
                f"objective.rewards: format needs plans of item features, and feature {name} "
                "is read from the log, not from the items"
            )
    return np.stack([coder.item_codes[index] for index in indices], axis=1)


def find_reward_folder(config: ModelRewardConfig) -> Path:
    """Return the model folder of a learned reward."""
    return model_folder(config.path, REWARD_KEY)


def check_reward_model(config: ModelRewardConfig, prepared: PreparedData) -> None:
    """Check that a learned reward is a reward model of the data's catalog.

    Raises:
        SeqRecError: no reward model, or another catalog.
    """
    folder = find_reward_folder(config)
    model = load_reward_model(folder)
    if model.config.catalog_fingerprint == prepared.catalog_fingerprint:
        return
    mapping = ItemMapping.between(
        read_model_items(folder / ITEMS_FILE)["item_id"].to_list(),
        prepared.items()["item_id"].to_list(),
    )
    differences = mapping.describe("the model", str(prepared.path)) or ["items in another order"]
    raise SeqRecError(
        f"{REWARD_KEY}={config.path}: trained on another catalog than that of {prepared.path} "
        f"({'; '.join(differences)}); train a reward model on this data"
    )


def _build_learned_reward(folder: Path) -> LearnedReward:
    return LearnedReward(load_reward_model(folder))


def _build_own_reward(name: str, item_ids: Sequence[str], max_seconds: float) -> FunctionReward:
    return FunctionReward(load_reward_function(name), item_ids, name, max_seconds)


def load_reward_function(name: str) -> RewardFunction:
    """Import the function ``module:function``; the working folder is searched first.

    Raises:
        SeqRecError: the module or function does not exist or cannot be imported.
    """
    module, _, function = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        loaded = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        raise SeqRecError(f"reward {name}: no module {error.name}") from error
    except AttributeError as error:
        raise SeqRecError(f"reward {name}: {module} holds no {function}") from error
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise SeqRecError(f"reward {name}: {module} cannot be imported: {reason}") from error
    if not callable(loaded):
        raise SeqRecError(f"reward {name}: {function} is not a function")
    return loaded
