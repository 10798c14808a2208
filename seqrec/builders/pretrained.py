"""``model.from_pretrained``: training that starts from a run or model folder."""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerFast

from seqrec.builders.named_models import open_recommender
from seqrec.config.load import with_settings
from seqrec.config.model import OVER_PRETRAINED, ModelConfig
from seqrec.config.recipe import Recipe
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForNextItem
from seqrec.models.configuration import SeqRecConfig
from seqrec.models.content import ContentEmbedding
from seqrec.models.ensemble import EnsembleConfig
from seqrec.models.folder import model_folder
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.item_blocks import OneTokenItems, event_block_size
from seqrec.tokens.tokenizer import load_tokenizer

START_KEY = "model.from_pretrained"
MODEL_KEYS = ("head", "causal", "cosine_scale", "time_bias", "event_vectors")
"""Keys of the model block that every model's configuration holds, for all decoders."""
PARTS = ("content", "transition_prior")
"""Keys of the model block that are blocks themselves."""
NEW_MODEL_KEY = "initial_vectors"
"""Key of the model block that trained weights do not depend on."""


def resolve_lengths(recipe: Recipe) -> Recipe:
    """Return the recipe with the ``data.max_length`` that token budget and start model allow.

    Raises:
        SeqRecError: a missing model, or one that reads shorter histories than the recipe sets.
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
    file = model_folder(path, START_KEY) / "config.json"
    try:
        longest = int(json.loads(file.read_text())["max_length"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SeqRecError(
            f"{START_KEY} {path}: config.json is not that of a seqrec model"
        ) from error
    if "max_length" not in recipe.data.model_fields_set:
        return with_settings(recipe, {"data.max_length": longest})
    if recipe.data.max_length > longest:
        raise SeqRecError(
            f"data.max_length={recipe.data.max_length}: the model in {path} reads {longest} items; "
            "remove the key or lower it"
        )
    return recipe


def open_trained(
    recipe: Recipe,
    prepared: PreparedData,
    check_start: Callable[[Recipe, Recommender], None],
) -> tuple[SeqRecForNextItem, PreTrainedTokenizerFast]:
    """Open the model that training starts from, with the recipe's dropout, and its tokenizer.

    Args:
        recipe: the recipe, which names the model.
        prepared: the data, whose catalog must be the model's.
        check_start: refuses a model that the objective cannot train.

    Raises:
        SeqRecError: a missing model, another catalog, a model that ``check_start`` refuses, or
            keys of the recipe that contradict it.
    """
    folder = model_folder(str(recipe.model.from_pretrained), START_KEY)
    start = open_recommender(folder, prepared)
    check_start(recipe, start)
    check_keys(recipe.model, start.model.config)
    return with_dropout(start.model, recipe.model).train(), load_tokenizer(folder)


def check_rows(model: SeqRecForNextItem, item_counts: Int[np.ndarray, " I"]) -> None:
    """Refuse training items without a row in a model with content.

    Raises:
        SeqRecError: the log holds such items.
    """
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, ContentEmbedding):
        return
    number = int(((~embedding.has_row).numpy() & (item_counts > 0)).sum())
    if number:
        raise SeqRecError(
            f"{START_KEY}: the model has no rows for {number:,} items of the training data, which "
            "were not in its own training data; train a new model"
        )


def check_keys(settings: ModelConfig, config: SeqRecConfig) -> None:
    """Refuse keys of the model block that contradict the model.

    Raises:
        SeqRecError: the first such key, with both values.
    """
    for key in sorted(settings.model_fields_set - {*OVER_PRETRAINED, NEW_MODEL_KEY}):
        expected, actual = getattr(settings, key), _get_value(config, key)
        if key not in PARTS:
            pairs = [(f"model.{key}", expected, actual)]
        elif expected is None or actual is None:
            has = ["none" if part is None else "one" for part in (expected, actual)]
            pairs = [(f"model.{key}", has[0], has[1])]
        else:
            part = expected.model_dump(exclude_unset=True, exclude_none=True)
            pairs = [(f"model.{key}.{k}", part[k], actual[k]) for k in part if k in actual]
        for name, mine, theirs in pairs:
            if mine != theirs and (mine or theirs):
                raise SeqRecError(
                    f"{name}: the model in {settings.from_pretrained} has "
                    f"{'none' if theirs is None else theirs}, the recipe another; remove the key"
                )


def _get_value(config: SeqRecConfig, key: str) -> Any:
    """Return the value of a key of the model block in a model's configuration, None if absent."""
    decoder = config.backbone_config
    if key == "num_members":
        return getattr(decoder, key, 1)
    if key in (*MODEL_KEYS, *PARTS):
        return getattr(config, key)
    return getattr(_get_member(decoder), key, None)


def _get_member(decoder: Any) -> Any:
    """Return the configuration of a decoder, or the one that all members of an ensemble share."""
    return decoder.member_config if isinstance(decoder, EnsembleConfig) else decoder


def with_dropout(model: SeqRecForNextItem, settings: ModelConfig) -> SeqRecForNextItem:
    """Return the same model with the dropout rates that the model block sets."""
    changes = {
        key: getattr(settings, key)
        for key in ("dropout", "item_dropout")
        if key in settings.model_fields_set
    }
    if not changes:
        return model
    config = copy.deepcopy(model.config)
    for key, value in changes.items():
        setattr(_get_member(config.backbone_config), key, value)
    changed = SeqRecForNextItem(config)
    changed.load_state_dict(model.state_dict())
    return changed
