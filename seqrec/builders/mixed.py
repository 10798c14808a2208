"""The model of a recipe on texts and items: a language model whose vocabulary has a catalog."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerFast

from seqrec.builders.language_model import (
    BACKBONE_KEY,
    find_own_folder,
    make_trainable,
    open_base,
    weights_dtype,
)
from seqrec.builders.model import count_items
from seqrec.builders.start_rows import build_start_rows
from seqrec.builders.two_heads import TwoHeads, open_two_heads
from seqrec.config.mixed import MixedModelConfig, MixedRecipe
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models.adapters import CATALOG_KEY as ADAPTER_CATALOG
from seqrec.models.adapters import load_adapter, merge_adapter, read_facts
from seqrec.models.configuration import SeqRecConfig
from seqrec.models.growth import grow_vocabulary, pad_size
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.start_rows import join_rows, mean_rows
from seqrec.models.two_heads import load_head
from seqrec.tokens.history_tokenizer import as_history_tokenizer, missing_special_tokens
from seqrec.tokens.tokenizer import ItemTokens, item_token, tokenizer_fingerprint

CATALOG_KEY, ADAPTER_KEY = "data.catalog", "model.adapter"
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
    catalog: None = None
    """Nothing is only kept: both heads learn."""


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


def _grow(recipe: MixedRecipe, catalog: PreparedData | None) -> TwoHeads:
    """Return a plain language model with items of a catalog."""
    config: MixedModelConfig = recipe.model
    if catalog is None:
        raise SeqRecError(
            f"{CATALOG_KEY}: {BACKBONE_KEY} {config.backbone} has no items; name a prepared folder"
        )
    adapter = _find_item_adapter(config)
    words, tokenizer = open_base(recipe, with_adapter=adapter is None)
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
    if adapter is None:
        model = SeqRecForNextItem.over(head_config, words)
    else:
        if read_facts(adapter)[ADAPTER_CATALOG] != catalog.catalog_fingerprint:
            raise SeqRecError(
                f"{ADAPTER_KEY}={adapter}: has rows for the items of another catalog; name the "
                "data.catalog that it was trained on"
            )
        merged = merge_adapter(load_adapter(words, adapter))
        model = SeqRecForNextItem.over(head_config, merged)
        load_head(model.head, adapter)
    return TwoHeads(words, model, tokenizer, items, count_items(catalog))


def _find_item_adapter(config: MixedModelConfig) -> Path | None:
    """Return the adapter of a recipe if it is of a model with items, which goes on a grown one."""
    if config.adapter is None or ADAPTER_CATALOG not in read_facts(Path(config.adapter)):
        return None
    return Path(config.adapter)


def _open_own(recipe: MixedRecipe, folder: Path, catalog: PreparedData | None) -> TwoHeads:
    """Return a model of seqrec with both heads.

    Raises:
        SeqRecError: it answers with items alone, reads more than items, or has another catalog.
    """
    named = f"{BACKBONE_KEY} {recipe.model.backbone}"
    given = sorted(set(GIVEN_KEYS) & recipe.model.model_fields_set)
    if given:
        raise SeqRecError(f"model.{given[0]}: {named} has items and their head; remove the key")
    whole = open_two_heads(folder, named)
    config = whole.model.config
    extra = [name for name in UNREAD if getattr(config, name) is not None]
    if extra:
        raise SeqRecError(f"{named}: has {extra[0].replace('_', ' ')}, which no text can tell")
    if catalog is not None and catalog.catalog_fingerprint != config.catalog_fingerprint:
        raise SeqRecError(
            f"{CATALOG_KEY} {recipe.data.catalog}: not the items of {named}, in their order; give "
            "the model new items with seqrec extend, or leave the key out"
        )
    config.max_length = recipe.data.history_length
    return whole._replace(words=whole.words.to(weights_dtype(recipe)))  # type: ignore[arg-type]
