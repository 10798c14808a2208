"""Data of a reward model: rated events of the log, or labelled answers, in three parts."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from seqrec.config.objective import RewardModelConfig
from seqrec.config.recipe import Recipe
from seqrec.data.feedback.holdout import holdout_levels
from seqrec.data.feedback.labels import read_labels
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.rating_baselines import RatedLog, RatingBaselines, slate_chances
from seqrec.tokens.streams.base import WindowStream
from seqrec.tokens.streams.labelled import LabelledStream
from seqrec.tokens.streams.rated import RatedStream
from seqrec.tokens.streams.ratings import RatedEvents, rating_levels
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.training.steps.reward_model import PredictedLikes

BIAS_SMOOTHING = 10.0
"""Pseudo-count of average answers in an item's initial bias."""
PARTS = ("train", "validation", "test")
"""Users whose answers train the model, select the epoch, and evaluate the model."""


class Baselines(NamedTuple):
    """Predictions of the baselines for the answers that a model predicted."""

    chances: dict[str, Float[np.ndarray, " S"]]
    users: Int[np.ndarray, " S"]
    """The user of each answer."""


class RewardData(NamedTuple):
    """Answers of the three parts of the users."""

    train: WindowStream
    validation: WindowStream
    test: WindowStream
    levels: list[float]
    """Ratings that the model distinguishes."""
    liked: float | None
    """Least rating of an item that counts as liked; None if answers are labelled."""
    item_bias: Float[np.ndarray, " I"]
    """Logit of the mean label of each item's training answers."""
    item_counts: Int[np.ndarray, " I"]
    """Training answers of each item."""
    rated: RatedLog
    """Ratings of the training users."""
    baselines: Callable[[PredictedLikes], Baselines]
    """Returns the baselines' predictions for the same answers."""
    details: dict[str, dict[str, int]]
    """Counts for ``metrics.json``."""


def build_reward_data(
    recipe: Recipe, prepared: PreparedData, tokens: ItemTokens, rank: int
) -> RewardData:
    """Build the data that the recipe names: labels, or the ratings of the log.

    Raises:
        SeqRecError: no ratings or labels, or a part in which all answers are liked, or none.
    """
    build = rated_data if recipe.data.labels is None else labelled_data
    return build(recipe, prepared, tokens, rank)


def rated_data(recipe: Recipe, prepared: PreparedData, tokens: ItemTokens, rank: int) -> RewardData:
    """Build data in which every rated event of the training part answers the history before it."""
    config, trainer = get_config(recipe), recipe.trainer
    events = RatedEvents.of(prepared.histories(["rating"]))
    parts = _parts(holdout_levels(prepared.users()["user_id"]), config.held_out_share)
    logs = [_select_log(events, is_part) for is_part in parts]
    for log, part in zip(logs, PARTS, strict=True):
        _check_likes(log.ratings >= config.liked, part, str(prepared.path), config)
    learned = logs[0]
    levels = rating_levels(learned.ratings)
    build_stream = partial(
        RatedStream,
        events,
        tokens=tokens,
        levels=levels,
        liked=config.liked,
        row_length=recipe.data.max_length,
        batch_size=recipe.data.batch_size,
    )

    def baselines(predicted: PredictedLikes) -> Baselines:
        log = RatedLog(
            *(part[predicted.events] for part in (events.items, events.users, events.ratings))
        )
        fitted = RatingBaselines(learned, prepared.num_items, liked=config.liked)
        return Baselines(fitted.chances(log), log.users)

    is_liked = (learned.ratings >= config.liked).astype(np.float64)
    train, validation, test = map(np.flatnonzero, parts)
    return RewardData(
        build_stream(users=train, seed=trainer.seed, rank=rank, num_ranks=trainer.devices),
        build_stream(users=validation),
        build_stream(users=test),
        levels,
        config.liked,
        *like_logits(learned.items, is_liked, prepared.num_items),
        learned,
        baselines,
        details={},
    )


def labelled_data(
    recipe: Recipe, prepared: PreparedData, tokens: ItemTokens, rank: int
) -> RewardData:
    """Build data in which every row of a labels file is an answer."""
    config, trainer = get_config(recipe), recipe.trainer
    file = Path(str(recipe.data.labels))
    has_ratings = "rating" in prepared.usable_columns()
    labelled = read_labels(file, prepared, prepared.histories(["rating"] if has_ratings else []))
    parts = _parts(holdout_levels(labelled.keys), config.held_out_share)
    learned, *others = (is_part[labelled.history_of] for is_part in parts)
    for is_part, part in zip((learned, *others), PARTS, strict=True):
        _check_likes(labelled.labels[is_part] >= 0.5, part, str(file), config)
    of_history = np.repeat(np.arange(len(parts[0])), labelled.histories.lengths)
    of_learned = parts[0][of_history]
    is_rated = of_learned & ~np.isnan(labelled.ratings)
    levels = rating_levels(labelled.ratings[of_learned])
    build_stream = partial(
        LabelledStream,
        labelled,
        tokens=tokens,
        levels=levels,
        row_length=recipe.data.max_length,
        batch_size=recipe.data.batch_size,
    )
    users = np.unique(labelled.keys, return_inverse=True)[1][labelled.history_of]

    def baselines(predicted: PredictedLikes) -> Baselines:
        slates, labels = labelled.slates[learned], labelled.labels[learned]
        chances = slate_chances(
            labelled.slates[predicted.events], slates, labels, prepared.num_items
        )
        return Baselines({"item_mean": chances}, users[predicted.events])

    row, slot = np.nonzero(labelled.slates[learned] >= 0)
    items, labels = labelled.slates[learned][row, slot], labelled.labels[learned][row]
    train, validation, test = map(np.flatnonzero, parts)
    return RewardData(
        build_stream(train, seed=trainer.seed, rank=rank, num_ranks=trainer.devices),
        build_stream(validation),
        build_stream(test),
        levels,
        None,
        *like_logits(items, labels, prepared.num_items),
        RatedLog(
            labelled.histories.values[is_rated], of_history[is_rated], labelled.ratings[is_rated]
        ),
        baselines,
        details={"labels": labelled.counts},
    )


def like_logits(
    items: Int[np.ndarray, " N"], labels: Float[np.ndarray, " N"], num_items: int
) -> tuple[Float[np.ndarray, " I"], Int[np.ndarray, " I"]]:
    """Return the logit of each item's mean label, smoothed towards the average, and its count."""
    sums = np.bincount(items, labels, minlength=num_items)
    counts = np.bincount(items, minlength=num_items)
    share = (sums + BIAS_SMOOTHING * labels.mean()) / (counts + BIAS_SMOOTHING)
    return np.log(share / (1 - share)), counts


def _parts(level: Float[np.ndarray, " U"], share: float) -> list[Bool[np.ndarray, " U"]]:
    """Return masks of the training, validation and test users, by their holdout levels."""
    is_held_out = level < share
    return [~is_held_out, level < share / 2, is_held_out & (level >= share / 2)]


def _check_likes(
    is_liked: Bool[np.ndarray, " N"], part: str, where: str, config: RewardModelConfig
) -> None:
    num_liked = int(is_liked.sum())
    if not 0 < num_liked < len(is_liked):
        raise SeqRecError(
            f"{where}: {num_liked:,} of {len(is_liked):,} {part} answers are liked; "
            f"a reward model needs both kinds (objective.liked {config.liked:g}, "
            f"objective.held_out_share {config.held_out_share:g})"
        )


def _select_log(events: RatedEvents, is_part: Bool[np.ndarray, " U"]) -> RatedLog:
    """Return the rated events of the users of a part."""
    chosen = events.is_rated & is_part[events.users]
    return RatedLog(events.items[chosen], events.users[chosen], events.ratings[chosen])


def get_config(recipe: Recipe) -> RewardModelConfig:
    """Return the objective block, which must be that of a reward model."""
    assert recipe.objective.name == "reward_model"
    return recipe.objective
