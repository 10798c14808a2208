"""``model.from_pretrained``: training that starts from a run or model folder."""

import copy
import json
from typing import Any

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerFast

from seqrec.builders.named_models import (
    check_targets_are_unread,
    open_reader_of_titles,
    open_recommender,
)
from seqrec.config.load import with_settings
from seqrec.config.model import OVER_PRETRAINED, ModelConfig
from seqrec.config.objective import DistillationConfig, SFTConfig
from seqrec.config.recipe import Recipe
from seqrec.config.rl import RLConfig
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForNextItem
from seqrec.models.configuration import SeqRecConfig
from seqrec.models.content import ContentEmbedding
from seqrec.models.ensemble import EnsembleConfig
from seqrec.models.folder import model_folder
from seqrec.tokens.item_blocks import OneTokenItems, event_block_size
from seqrec.tokens.tokenizer import load_tokenizer

KEY = "model.from_pretrained"
OF_WHOLE = ("head", "causal", "cosine_scale", "time_bias", "event_vectors")
"""Keys that a model's own configuration tells, of whatever type its decoder is."""
PARTS = ("content", "transition_prior")
OF_THE_START = "initial_vectors"
"""What trained weights no longer tell."""


def settled(recipe: Recipe) -> Recipe:
    """The recipe with histories as long as a budget of tokens allows, or as the model reads that
    it starts from.

    Raises:
        SeqRecError: no such model, or one that reads shorter histories than the recipe asks for.
    """
    path, events = recipe.model.from_pretrained, recipe.data.events
    if events is not None and events.max_tokens is not None:
        block_size = event_block_size(OneTokenItems.length, events.num_features)
        if events.max_tokens < block_size:
            raise SeqRecError(
                f"data.events.max_tokens {events.max_tokens}: one event is {block_size} tokens; "
                f"allow {block_size} or more"
            )
        num_events = min(events.max_tokens // block_size, recipe.data.max_length)
        return with_settings(recipe, {"data.max_length": num_events})
    if path is None:
        return recipe
    file = model_folder(path, KEY) / "config.json"
    try:
        longest = int(json.loads(file.read_text())["max_length"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SeqRecError(f"{KEY} {path}: config.json is not that of a seqrec model") from error
    if "max_length" not in recipe.data.model_fields_set:
        return with_settings(recipe, {"data.max_length": longest})
    if recipe.data.max_length > longest:
        raise SeqRecError(
            f"data.max_length={recipe.data.max_length}: the model in {path} reads {longest} items; "
            "leave it out or ask for fewer"
        )
    return recipe


def start_model(
    recipe: Recipe, prepared: PreparedData
) -> tuple[SeqRecForNextItem, PreTrainedTokenizerFast]:
    """The model that training starts from, with the recipe's dropout, and its tokenizer.

    Raises:
        SeqRecError: no such model, one of another catalog, or keys of the recipe that it
            contradicts.
    """
    path = str(recipe.model.from_pretrained)
    folder = model_folder(path, KEY)
    if isinstance(recipe.objective, SFTConfig):
        model = open_recommender(folder, prepared).model
    elif isinstance(recipe.objective, RLConfig) and recipe.objective.slates.plan:
        recommender = open_recommender(folder, prepared)
        if recommender.events is None or not recommender.events.grammar.plan_indices:
            raise SeqRecError(
                f"objective.slates.plan: {KEY}={path} has learned no feature that stands before "
                "its title; train it with one in data.events (place: before, is_learned: true)"
            )
        if recommender.events.grammar.times is not None:
            raise SeqRecError(
                f"{KEY}={path}: reads times, which objective rl does not; name a model without "
                "model.time_bias"
            )
        model = recommender.model
    else:
        who = f"objective {recipe.objective.name}"
        model = open_reader_of_titles(folder, prepared, who).model
    check_keys(recipe.model, model.config)
    if isinstance(recipe.objective, SFTConfig | DistillationConfig):
        check_targets_are_unread(model, recipe.data.windows, f"{KEY} {path}")
    has_own_titles = isinstance(recipe.objective, DistillationConfig) and recipe.objective.on_policy
    if has_own_titles and not model.config.causal:
        raise SeqRecError(
            f"objective.on_policy: {KEY} {path}: reads what stands after a title, too; name a "
            "model that reads forwards only, or leave on_policy out"
        )
    has_prior = model.transition_prior is not None and model.transition_prior.strength
    if has_prior and isinstance(recipe.objective, SFTConfig):
        if recipe.objective.loss.name != "cross_entropy" or recipe.objective.num_targets > 1:
            raise SeqRecError(
                f"{KEY} {path}: has a memory, which goes with objective.loss cross_entropy and "
                "objective.num_targets 1"
            )
    return with_dropout(model, recipe.model).train(), load_tokenizer(folder)


def check_rows(model: SeqRecForNextItem, item_counts: Int[np.ndarray, " I"]) -> None:
    """Refuse training on titles that a model with content has no rows of.

    Raises:
        SeqRecError: the log has some.
    """
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, ContentEmbedding):
        return
    number = int(((~embedding.has_row).numpy() & (item_counts > 0)).sum())
    if number:
        raise SeqRecError(
            f"{KEY}: the model has no rows of {number:,} titles that are trained on here, new to "
            "the log that it learned from; train a model anew"
        )


def check_keys(asked: ModelConfig, config: SeqRecConfig) -> None:
    """Refuse keys of the model block that say otherwise than the model."""
    for key in sorted(asked.model_fields_set - {*OVER_PRETRAINED, OF_THE_START}):
        wanted, there = getattr(asked, key), _told_by(config, key)
        if key not in PARTS:
            pairs = [(f"model.{key}", wanted, there)]
        elif wanted is None or there is None:
            has = ["none" if part is None else "one" for part in (wanted, there)]
            pairs = [(f"model.{key}", has[0], has[1])]
        else:
            settings = wanted.model_dump(exclude_unset=True, exclude_none=True)
            pairs = [(f"model.{key}.{k}", settings[k], there[k]) for k in settings if k in there]
        for name, mine, theirs in pairs:
            if mine != theirs and (mine or theirs):
                raise SeqRecError(
                    f"{name}: the model in {asked.from_pretrained} has "
                    f"{'none' if theirs is None else theirs}, the recipe another; leave the key out"
                )


def _told_by(config: SeqRecConfig, key: str) -> Any:
    """What a model's configuration says of a key of the model block; None if nothing."""
    decoder = config.backbone_config
    if key == "num_members":
        return getattr(decoder, key, 1)
    if key in (*OF_WHOLE, *PARTS):
        return getattr(config, key)
    return getattr(_member(decoder), key, None)


def _member(decoder: Any) -> Any:
    """The configuration of a decoder, or the one that all of an ensemble have."""
    return decoder.member_config if isinstance(decoder, EnsembleConfig) else decoder


def with_dropout(model: SeqRecForNextItem, asked: ModelConfig) -> SeqRecForNextItem:
    """The same model with what the recipe says of dropout."""
    changes = {
        key: getattr(asked, key)
        for key in ("dropout", "item_dropout")
        if key in asked.model_fields_set
    }
    if not changes:
        return model
    config = copy.deepcopy(model.config)
    for key, value in changes.items():
        setattr(_member(config.backbone_config), key, value)
    changed = SeqRecForNextItem(config)
    changed.load_state_dict(model.state_dict())
    return changed
