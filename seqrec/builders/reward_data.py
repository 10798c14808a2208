"""What a reward model learns from and is judged by: ratings of the log, or labelled answers."""

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
from seqrec.training.steps.reward_model import Judged

BIAS_SMOOTHING = 10.0
"""Average answers that a title's own are mixed with in the bias that it starts from."""
PARTS = ("learn", "choose", "judge")
"""Users who are learned from, who choose the epoch, and who judge it."""


class Baselines(NamedTuple):
    """What needs no model, asked what a model was asked."""

    chances: dict[str, Float[np.ndarray, " S"]]
    users: Int[np.ndarray, " S"]
    """Of whom each answer is."""


class RewardData(NamedTuple):
    """Answers of the three kinds of users."""

    learn: WindowStream
    choose: WindowStream
    judge: WindowStream
    levels: list[float]
    """Ratings that are told apart."""
    liked: float | None
    """Least rating of a title that is liked; None where answers are labelled."""
    item_bias: Float[np.ndarray, " I"]
    """The logit of how good answers with each title are, as far as is learned from."""
    item_counts: Int[np.ndarray, " I"]
    """How many these are."""
    rated: RatedLog
    """How those who are learned from rated titles."""
    baselines: Callable[[Judged], Baselines]
    facts: dict[str, dict[str, int]]
    """For ``metrics.json``."""


def build_reward_data(
    recipe: Recipe, prepared: PreparedData, tokens: ItemTokens, rank: int
) -> RewardData:
    """What the recipe names.

    Raises:
        SeqRecError: no ratings or labels, or a part in which all answers are good, or none is.
    """
    build = rated_data if recipe.data.labels is None else labelled_data
    return build(recipe, prepared, tokens, rank)


def rated_data(recipe: Recipe, prepared: PreparedData, tokens: ItemTokens, rank: int) -> RewardData:
    """Every rated title of the training part is an answer to what was before it."""
    config, trainer = _config(recipe), recipe.trainer
    events = RatedEvents.of(prepared.histories(["rating"]))
    parts = _parts(holdout_levels(prepared.users()["user_id"]), config.held_out_share)
    logs = [_log_of(events, is_part) for is_part in parts]
    for log, part in zip(logs, PARTS, strict=True):
        _check_likes(log.ratings >= config.liked, part, str(prepared.path), config)
    learned = logs[0]
    levels = rating_levels(learned.ratings)
    stream_of = partial(
        RatedStream,
        events,
        tokens=tokens,
        levels=levels,
        liked=config.liked,
        row_length=recipe.data.max_length,
        batch_size=recipe.data.batch_size,
    )

    def baselines(said: Judged) -> Baselines:
        log = RatedLog(*(of[said.events] for of in (events.items, events.users, events.ratings)))
        fitted = RatingBaselines(learned, prepared.num_items, liked=config.liked)
        return Baselines(fitted.chances(log), log.users)

    is_liked = (learned.ratings >= config.liked).astype(np.float64)
    learn, choose, judge = map(np.flatnonzero, parts)
    return RewardData(
        stream_of(users=learn, seed=trainer.seed, rank=rank, num_ranks=trainer.devices),
        stream_of(users=choose),
        stream_of(users=judge),
        levels,
        config.liked,
        *like_logits(learned.items, is_liked, prepared.num_items),
        learned,
        baselines,
        facts={},
    )


def labelled_data(
    recipe: Recipe, prepared: PreparedData, tokens: ItemTokens, rank: int
) -> RewardData:
    """Every row of a labels file is an answer."""
    config, trainer = _config(recipe), recipe.trainer
    file = Path(str(recipe.data.labels))
    has_ratings = "rating" in prepared.usable_columns()
    found = read_labels(file, prepared, prepared.histories(["rating"] if has_ratings else []))
    parts = _parts(holdout_levels(found.keys), config.held_out_share)
    learned, *others = (is_part[found.history_of] for is_part in parts)
    for is_part, part in zip((learned, *others), PARTS, strict=True):
        _check_likes(found.labels[is_part] >= 0.5, part, str(file), config)
    of_history = np.repeat(np.arange(len(parts[0])), found.histories.lengths)
    of_learned = parts[0][of_history]
    is_rated = of_learned & ~np.isnan(found.ratings)
    levels = rating_levels(found.ratings[of_learned])
    stream_of = partial(
        LabelledStream,
        found,
        tokens=tokens,
        levels=levels,
        row_length=recipe.data.max_length,
        batch_size=recipe.data.batch_size,
    )
    users = np.unique(found.keys, return_inverse=True)[1][found.history_of]

    def baselines(said: Judged) -> Baselines:
        slates, labels = found.slates[learned], found.labels[learned]
        chances = slate_chances(found.slates[said.events], slates, labels, prepared.num_items)
        return Baselines({"title_mean": chances}, users[said.events])

    row, place = np.nonzero(found.slates[learned] >= 0)
    titles, labels = found.slates[learned][row, place], found.labels[learned][row]
    learn, choose, judge = map(np.flatnonzero, parts)
    return RewardData(
        stream_of(learn, seed=trainer.seed, rank=rank, num_ranks=trainer.devices),
        stream_of(choose),
        stream_of(judge),
        levels,
        None,
        *like_logits(titles, labels, prepared.num_items),
        RatedLog(found.histories.values[is_rated], of_history[is_rated], found.ratings[is_rated]),
        baselines,
        facts={"labels": found.counts},
    )


def like_logits(
    items: Int[np.ndarray, " N"], labels: Float[np.ndarray, " N"], num_items: int
) -> tuple[Float[np.ndarray, " I"], Int[np.ndarray, " I"]]:
    """The logit of every title's mean label, drawn towards the average, and how many they are."""
    sums = np.bincount(items, labels, minlength=num_items)
    counts = np.bincount(items, minlength=num_items)
    share = (sums + BIAS_SMOOTHING * labels.mean()) / (counts + BIAS_SMOOTHING)
    return np.log(share / (1 - share)), counts


def _parts(level: Float[np.ndarray, " U"], share: float) -> list[Bool[np.ndarray, " U"]]:
    """Who is learned from, who chooses the epoch, and who judges it."""
    is_held_out = level < share
    return [~is_held_out, level < share / 2, is_held_out & (level >= share / 2)]


def _check_likes(
    is_liked: Bool[np.ndarray, " N"], part: str, where: str, config: RewardModelConfig
) -> None:
    num_liked = int(is_liked.sum())
    if not 0 < num_liked < len(is_liked):
        raise SeqRecError(
            f"{where}: of {len(is_liked):,} answers of users who {part}, {num_liked:,} are liked; "
            f"a reward model needs both kinds (objective.liked {config.liked:g}, "
            f"objective.held_out_share {config.held_out_share:g})"
        )


def _log_of(events: RatedEvents, is_part: Bool[np.ndarray, " U"]) -> RatedLog:
    """The rated events of some users."""
    chosen = events.is_rated & is_part[events.users]
    return RatedLog(events.items[chosen], events.users[chosen], events.ratings[chosen])


def _config(recipe: Recipe) -> RewardModelConfig:
    assert isinstance(recipe.objective, RewardModelConfig)
    return recipe.objective
