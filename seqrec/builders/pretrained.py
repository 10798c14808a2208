"""``model.from_pretrained``: training that starts from a run or model folder."""

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers import PreTrainedTokenizerFast

from seqrec.builders.model import build_content, recount_transitions
from seqrec.builders.named_models import check_strict
from seqrec.builders.other_catalog import carry_over, describe_other_catalog
from seqrec.config.load import with_settings
from seqrec.config.model import OVER_PRETRAINED, ModelConfig
from seqrec.config.recipe import Recipe
from seqrec.data.checksums import file_sha256
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models import SeqRecForNextItem
from seqrec.models.adapters import ADAPTER_WEIGHTS
from seqrec.models.carried_rows import give_rows
from seqrec.models.configuration import SeqRecConfig
from seqrec.models.content import ContentEmbedding
from seqrec.models.encoder import DROPOUT_FIELDS
from seqrec.models.ensemble import EnsembleConfig
from seqrec.models.folder import model_folder
from seqrec.models.two_heads import read_fields
from seqrec.models.unchanged import read_unchanged
from seqrec.models.weights import folder_fingerprint
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
LOG_OBJECTIVES = ("sft", "distillation", "search")
"""Objectives that train on every interaction of the log."""

logger = logging.getLogger(__name__)


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
    folder = model_folder(path, START_KEY)
    try:
        longest = int(read_fields(folder)["max_length"])
    except (SeqRecError, ValueError, KeyError, TypeError) as error:
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
        prepared: the data; its items are matched to the model's by id.
        check_start: refuses a model that the objective cannot train.

    Raises:
        SeqRecError: a missing model, items that the objective cannot add to it, a model that
            ``check_start`` refuses, or keys of the recipe that contradict it.
    """
    folder = model_folder(str(recipe.model.from_pretrained), START_KEY)
    start, tokenizer = read_unchanged(
        folder, lambda: (Recommender.from_pretrained(folder), load_tokenizer(folder))
    )
    check_strict(start, f"{START_KEY}={recipe.model.from_pretrained}")
    check_start(recipe, start)
    check_keys(recipe.model, start.model.config)
    model = start.model
    if start.catalog_fingerprint != prepared.catalog_fingerprint:
        model, tokenizer = _carry_start(recipe, start, tokenizer, prepared)
    return with_dropout(model, recipe.model).train(), tokenizer


def _carry_start(
    recipe: Recipe,
    start: Recommender,
    tokenizer: PreTrainedTokenizerFast,
    prepared: PreparedData,
) -> tuple[SeqRecForNextItem, PreTrainedTokenizerFast]:
    """Return model and tokenizer of the start over the catalog of the data.

    Raises:
        SeqRecError: the sets of items differ and the objective does not learn from the log, or
            new items need content that the recipe does not describe.
    """
    named = f"{START_KEY} {recipe.model.from_pretrained}"
    model, new_tokenizer, mapping = carry_over(start, tokenizer, prepared)
    num_known = int((mapping.to_model >= 0).sum())
    if not num_known or not (mapping.is_same_set or learns_from_log(recipe)):
        raise SeqRecError(describe_other_catalog(mapping, named, prepared))
    embedding = model.get_input_embeddings()
    if isinstance(embedding, ContentEmbedding) and mapping.unknown_ids:
        new_items = np.flatnonzero(mapping.to_model < 0)
        content = _build_new_content(recipe, prepared, new_items, embedding.content.shape[1])
        embedding.content[torch.from_numpy(new_items)] = torch.from_numpy(content)
    differences = mapping.describe("the model", str(prepared.path))
    logger.warning("%s", "; ".join([f"{named}: {num_known:,} items matched by id", *differences]))
    return model, new_tokenizer


def _build_new_content(
    recipe: Recipe, prepared: PreparedData, items: Int[np.ndarray, " S"], width: int
) -> Float[np.ndarray, "S F"]:
    """Return the content of items that the model does not know."""
    if recipe.model.content is None:
        raise SeqRecError(
            f"{START_KEY}: the model reads content, which {len(items):,} new items need; name "
            "model.content as in its own recipe, such as model.content={}"
        )
    content = build_content(recipe.model.content, prepared, items)
    if content.shape[1] != width:
        raise SeqRecError(
            f"model.content.encoder: gives {content.shape[1]} numbers an item, the model in "
            f"{recipe.model.from_pretrained} reads {width}; name the encoder that it was trained "
            "with"
        )
    return content


def learns_from_log(recipe: Recipe) -> bool:
    """Return whether the objective trains on the whole log, and so the rows of new items."""
    return recipe.objective.name in LOG_OBJECTIVES


def fit_to_log(
    recipe: Recipe,
    prepared: PreparedData,
    model: SeqRecForNextItem,
    item_counts: Int[np.ndarray, " I"],
) -> None:
    """Adapt what a trained model knows of its log to another log, before training goes on.

    Nothing changes where the log has the item counts of the model's own. Items of the training
    part get rows in a model with content, and a transition prior counts this log, whose own
    transitions training removes from the counts.

    Raises:
        SeqRecError: items lack rows, and the objective does not learn from the log.
    """
    embedding = model.get_input_embeddings()
    if isinstance(embedding, ContentEmbedding):
        number = int(((~embedding.has_row).numpy() & (item_counts > 0)).sum())
        if number and not learns_from_log(recipe):
            raise SeqRecError(
                f"{START_KEY}: the model has no rows for {number:,} items of the training data, "
                "which were not in its own training data; continue its training with objective sft"
            )
        give_rows(model, torch.from_numpy(item_counts > 0))
    prior = model.transition_prior
    if prior is None or not learns_from_log(recipe):
        return
    counts = torch.from_numpy(item_counts)
    if not torch.equal(prior.popularity, ((counts + 1) / (counts + 1).sum())):
        settings = recipe.model.transition_prior
        max_edges = None if settings is None else settings.max_edges
        recount_transitions(model, prepared, counts, max_edges)
        logger.warning("%s: its transition prior counts the transitions of the new log", START_KEY)


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
    decoder = _get_member(config.backbone_config)
    for key, value in changes.items():
        for name in _dropout_fields(decoder, key, value) if model.has_language_model else [key]:
            setattr(decoder, name, value)
    changed = SeqRecForNextItem(config)
    changed.load_state_dict(model.state_dict())
    return changed


def _dropout_fields(decoder: Any, key: str, rate: float) -> list[str]:
    """Return the names under which the configuration of a language model has a dropout rate.

    Raises:
        SeqRecError: it has no such dropout, and the rate is above 0.
    """
    names = [name for name in DROPOUT_FIELDS if key == "dropout" and hasattr(decoder, name)]
    if rate and not names:
        raise SeqRecError(
            f"model.{key}={rate}: decoders of type {decoder.model_type} have no such dropout; "
            "remove the key"
        )
    return names


def named_sources(recipe: Recipe) -> dict[str, str]:
    """Return fingerprints of the models and files that the model and data blocks name."""
    sources = {}
    if recipe.model.from_pretrained is not None:
        folder = model_folder(recipe.model.from_pretrained, START_KEY)
        sources["start_fingerprint"] = folder_fingerprint(folder)
    if recipe.model.adapter is not None:
        file = Path(recipe.model.adapter) / ADAPTER_WEIGHTS
        sources["adapter_fingerprint"] = file_sha256(file) if file.is_file() else ""
    for key in ("pairs", "labels"):
        path = getattr(recipe.data, key)
        if path is not None:
            if not Path(path).is_file():
                raise SeqRecError(f"data.{key}={path}: no such file")
            sources[f"{key}_fingerprint"] = file_sha256(Path(path))
    return sources
