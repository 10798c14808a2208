"""From a recipe's rewards to objects that score slates."""

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
from seqrec.data.item_columns import genre_matrix, item_numbers
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models.folder import load_reward_model, model_folder
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
    """What makes the scorer, in whatever process it is called; mistakes are raised here.

    Args:
        configs: the rewards.
        prepared: what they are told of the titles.
        coder: of the grammar by which the policy plans, if it does.

    Raises:
        SeqRecError: a reward that the data or the recipe cannot give.
    """
    makers = [(config.weight, _maker(config, prepared, coder)) for config in configs]
    return partial(_scorer, makers)


def _scorer(makers: Sequence[tuple[float, Callable[[], Reward]]]) -> Scorer:
    return Scorer(Mixture([(weight, make()) for weight, make in makers]))


def _maker(
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
            return partial(_learned, find_reward_folder(config))
        case FunctionConfig(function=name, max_seconds=max_seconds):
            load_reward_function(name)
            item_ids = items["item_id"].to_list()
            return partial(_own, name, item_ids, max_seconds)
    raise AssertionError(config)


def get_planned_codes(coder: EventCoder) -> Int[np.ndarray, "I P"]:
    """Of every item, the code of each feature that a policy plans.

    Raises:
        SeqRecError: one of them is not the titles' own.
    """
    places = coder.grammar.plan_indices
    for place in places:
        if place not in coder.item_codes:
            name = coder.grammar.features[place].name
            raise SeqRecError(
                f"objective.rewards: format needs plans of what titles are, and feature {name} "
                "is read from the log, not from the items"
            )
    return np.stack([coder.item_codes[place] for place in places], axis=1)


def find_reward_folder(config: ModelRewardConfig) -> Path:
    """Where the model is that a reward names."""
    return model_folder(config.path, REWARD_KEY)


def check_reward_model(config: ModelRewardConfig, prepared: PreparedData) -> None:
    """See that what a reward names is a reward model of the data's catalog.

    Raises:
        SeqRecError: it is not.
    """
    model = load_reward_model(find_reward_folder(config))
    if model.config.catalog_fingerprint != prepared.catalog_fingerprint:
        raise SeqRecError(
            f"{REWARD_KEY}={config.path}: trained on another catalog than that of {prepared.path}; "
            "name the data that it was trained on, or train on these"
        )


def _learned(folder: Path) -> LearnedReward:
    return LearnedReward(load_reward_model(folder))


def _own(name: str, item_ids: Sequence[str], max_seconds: float) -> FunctionReward:
    return FunctionReward(load_reward_function(name), item_ids, name, max_seconds)


def load_reward_function(name: str) -> RewardFunction:
    """The function that ``module:function`` names, looked for beside the installed ones in the
    folder that one works in.

    Raises:
        SeqRecError: no such module or function.
    """
    module, _, function = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        raise SeqRecError(f"reward {name}: no module {error.name}") from error
    except AttributeError as error:
        raise SeqRecError(f"reward {name}: {module} holds no {function}") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise SeqRecError(f"reward {name}: {module} cannot be imported: {reason}") from error
    if not callable(found):
        raise SeqRecError(f"reward {name}: {function} is no function")
    return found
