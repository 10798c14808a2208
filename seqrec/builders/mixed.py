"""The model of a recipe on texts and items: a language model whose vocabulary has a catalog."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqrec.builders.language_model import (
    BACKBONE_KEY,
    find_own_folder,
    make_trainable,
    open_base,
    weights_dtype,
)
from seqrec.builders.model import count_items
from seqrec.builders.start_rows import build_start_rows
from seqrec.config.mixed import MixedModelConfig, MixedRecipe
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models.configuration import SeqRecConfig
from seqrec.models.growth import grow_vocabulary, pad_size
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.start_rows import join_rows, mean_rows
from seqrec.models.two_heads import as_language_model
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.history_tokenizer import as_history_tokenizer, missing_special_tokens
from seqrec.tokens.tokenizer import ItemTokens, item_token, load_tokenizer, tokenizer_fingerprint

CATALOG_KEY = "data.catalog"
GIVEN_KEYS = ("head", "head_size", "initial_vectors", "initial_vectors_of", "adapter")
"""Keys of the model block that a model with items brings along."""
UNREAD = ("events", "content", "transition_prior", "cosine_scale", "query_token")
"""Parts of next-item models that texts have no place for."""


class MixedModel(NamedTuple):
    """A language model with a catalog head, as it is trained."""

    model: Any
    """The causal language model, with an adapter around it for LoRA; the head is its
    ``catalog_head``."""
    tokenizer: PreTrainedTokenizerFast
    config: SeqRecConfig
    """The configuration of the same model as a next-item model."""
    items: Any
    """A row for every item, in catalog order."""
    item_counts: Int[np.ndarray, " I"]
    """Training interactions of every item."""


class _Whole(NamedTuple):
    """A model with two heads before it is made trainable."""

    words: PreTrainedModel
    model: SeqRecForNextItem
    """Shares decoder and word head with ``words``."""
    tokenizer: PreTrainedTokenizerFast
    items: Any
    item_counts: Int[np.ndarray, " I"]


def open_mixed(recipe: MixedRecipe) -> MixedModel:
    """Open the language model of a recipe, with a token for every item of the catalog.

    A plain language model grows by the items of ``data.catalog``. A run or model folder of seqrec
    with both heads keeps its catalog.

    Raises:
        SeqRecError: no such model, one without a word head, no catalog, or another one than the
            model's.
    """
    catalog = None if recipe.data.catalog is None else PreparedData.open(recipe.data.catalog)
    folder = find_own_folder(recipe.model.backbone)
    whole = _grow(recipe, catalog) if folder is None else _open_own(recipe, folder, catalog)
    first, number = whole.model.config.first_item_token, whole.model.config.num_items
    head = whole.model.head
    trained = make_trainable(recipe.model, whole.words, range(first, first + number))
    whole.words.catalog_head = head.requires_grad_(True)
    return MixedModel(trained, whole.tokenizer, whole.model.config, whole.items, whole.item_counts)


def _grow(recipe: MixedRecipe, catalog: PreparedData | None) -> _Whole:
    """Return a plain language model with items of a catalog."""
    config: MixedModelConfig = recipe.model
    if catalog is None:
        raise SeqRecError(
            f"{CATALOG_KEY}: {BACKBONE_KEY} {config.backbone} has no items; name a prepared folder"
        )
    words, tokenizer = open_base(recipe)
    items = catalog.items()
    item_ids = items["item_id"].to_list()
    special = missing_special_tokens(tokenizer)
    source = config.initial_vectors_of or config.initial_vectors
    rows = build_start_rows(source, tokenizer, items, ["title"], "model.initial_vectors")
    start = join_rows(mean_rows([[]] * len(special)), rows)
    new = [*special, *map(item_token, item_ids)]
    tokenizer = as_history_tokenizer(grow_vocabulary(words, tokenizer, new, start).tokenizer)
    head_config = SeqRecConfig(
        backbone_config=words.base_model.config,  # type: ignore[arg-type]
        head=config.head,
        head_size=config.head_size,
        word_head=True,
        causal=True,
        cosine_scale=None,
        num_items=len(item_ids),
        padded_num_items=pad_size(len(item_ids)),
        first_item_token=ItemTokens.of(tokenizer, item_ids).blocks.first_token,
        max_length=recipe.data.history_length,
        catalog_fingerprint=catalog.catalog_fingerprint,
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
        content=None,
        transition_prior=None,
    )
    model = SeqRecForNextItem.over(head_config, words)
    return _Whole(words, model, tokenizer, items, count_items(catalog))


def _open_own(recipe: MixedRecipe, folder: Path, catalog: PreparedData | None) -> _Whole:
    """Return a model of seqrec with both heads.

    Raises:
        SeqRecError: it answers with items alone, reads more than items, or has another catalog.
    """
    named = f"{BACKBONE_KEY} {recipe.model.backbone}"
    given = sorted(set(GIVEN_KEYS) & recipe.model.model_fields_set)
    if given:
        raise SeqRecError(f"model.{given[0]}: {named} has items and their head; remove the key")
    start = Recommender.from_pretrained(folder)
    config = start.model.config
    if not config.word_head:
        raise SeqRecError(
            f"{named}: answers with items alone; name a model that was trained with "
            "model.word_head=true, or a language model"
        )
    extra = [name for name in UNREAD if getattr(config, name) is not None]
    if extra:
        raise SeqRecError(f"{named}: has {extra[0].replace('_', ' ')}, which no text can tell")
    if catalog is not None and catalog.catalog_fingerprint != start.catalog_fingerprint:
        raise SeqRecError(
            f"{CATALOG_KEY} {recipe.data.catalog}: not the items of {named}, in their order; give "
            "the model new items with seqrec extend, or leave the key out"
        )
    tokenizer = load_tokenizer(folder)
    config.max_length = recipe.data.history_length
    words: Any = as_language_model(start.model, tokenizer)
    words = words.to(weights_dtype(recipe))
    counts = start.items["num_interactions"].to_numpy()
    return _Whole(words, start.model, tokenizer, start.items, counts)
