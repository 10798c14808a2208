"""From a recipe's rewards to objects that score slates."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np

from seqrec.config.rl import (
    DiversityConfig,
    FreshnessConfig,
    FunctionConfig,
    HitConfig,
    NoveltyConfig,
    RatingConfig,
    RewardConfig,
)
from seqrec.data.catalog import genre_matrix, number_column
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError
from seqrec.rl.rewards import (
    Diversity,
    Freshness,
    FunctionReward,
    Hit,
    Mixture,
    Novelty,
    Rating,
    Reward,
    RewardFunction,
)
from seqrec.rl.roles import Scorer


def build_scorer(configs: Sequence[RewardConfig], prepared: PreparedData) -> Callable[[], Scorer]:
    """What makes the scorer, in whatever process it is called; mistakes are raised here.

    Raises:
        SeqRecError: a reward that the data or the recipe cannot give.
    """
    makers = [(config.weight, _maker(config, prepared)) for config in configs]
    return partial(_scorer, makers)


def _scorer(makers: Sequence[tuple[float, Callable[[], Reward]]]) -> Scorer:
    return Scorer(Mixture([(weight, make()) for weight, make in makers]))


def _maker(config: RewardConfig, prepared: PreparedData) -> Callable[[], Reward]:
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
            histories = prepared.histories()
            in_training = histories.items[histories.split == TRAIN]
            return partial(Novelty, np.bincount(in_training, minlength=prepared.num_items))
        case FreshnessConfig(column=column):
            numbers = number_column(items, column, "objective.rewards: freshness")
            return partial(Freshness, numbers)
        case FunctionConfig(function=name, max_seconds=max_seconds):
            own_function(name)
            item_ids = items["item_id"].to_list()
            return partial(_own, name, item_ids, max_seconds)
    raise AssertionError(config)


def _own(name: str, item_ids: Sequence[str], max_seconds: float) -> FunctionReward:
    return FunctionReward(own_function(name), item_ids, name, max_seconds)


def own_function(name: str) -> RewardFunction:
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
