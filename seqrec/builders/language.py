"""Language models as decoders of histories, from recipe fields: ``model.backbone``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqrec.builders.start_rows import build_start_rows
from seqrec.builders.tuning import apply_tuning, weights_dtype
from seqrec.config.recipe import Recipe
from seqrec.config.tuning import FrozenTuning, LoraTuning, TuningConfig
from seqrec.errors import SeqRecError
from seqrec.models.adapters import (
    CATALOG_KEY,
    add_lora,
    load_adapter,
    merge_adapter,
    read_facts,
)
from seqrec.models.growth import grow_vocabulary
from seqrec.models.language_model import LanguageModel, load_language_model
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.start_rows import StartRows, join_rows, mean_rows, random_rows
from seqrec.tokens.history_tokenizer import as_history_tokenizer, missing_special_tokens
from seqrec.tokens.tokenizer import item_token

BACKBONE_KEY = "model.backbone"
SOURCE_KEY = "model.initial_vectors"
SOURCES = ("text", "model")
"""Initial vectors of items that come from words or from another model."""
NO_LAYERS = "dummy-target-modules"
"""The name by which peft adds updates to no layer, only to rows of the vocabulary."""


ADAPTER_KEY = "model.adapter"


def open_backbone(
    recipe: Recipe, items: Any, words: Sequence[str], catalog_fingerprint: str
) -> LanguageModel:
    """Return the language model of a recipe with a token for every item, and its tokenizer.

    Args:
        recipe: names the model.
        items: table of the catalog.
        words: words of the event grammar, which follow the items.
        catalog_fingerprint: of the items.

    Raises:
        SeqRecError: no such model, histories that are longer than it reads, an adapter of another
            base or of other items.
    """
    config = recipe.model
    assert config.backbone is not None
    has_weights = config.backbone_weights == "pretrained"
    dtype = weights_dtype(config.tuning, recipe.trainer.precision, recipe.trainer.accelerator)
    model, tokenizer = load_language_model(config.backbone, dtype=dtype, has_weights=has_weights)
    _check_length(recipe, model.config.get_text_config(decoder=True))
    catalog = None
    if config.adapter is not None:
        catalog = read_facts(Path(config.adapter)).get(CATALOG_KEY)
        if catalog is None:
            merge_adapter(load_adapter(model, Path(config.adapter)))
    item_words = list(map(item_token, items["item_id"].to_list()))
    special = missing_special_tokens(tokenizer)
    new = [*special, *item_words, *words]
    start: StartRows = random_rows(len(new))
    if config.initial_vectors in SOURCES:
        source = config.initial_vectors_of or config.initial_vectors
        of_items = build_start_rows(source, tokenizer, items, ["title"], SOURCE_KEY)
        start = join_rows(mean_rows([[]] * len(special)), of_items, mean_rows([[]] * len(words)))
    grown = grow_vocabulary(model, tokenizer, new, start).tokenizer
    if config.adapter is not None and catalog is not None:
        if catalog != catalog_fingerprint:
            raise SeqRecError(
                f"{ADAPTER_KEY}={config.adapter}: has rows for the items of another catalog; name "
                "the data that it was trained on"
            )
        decoder: Any = model.base_model
        merge_adapter(load_adapter(decoder, Path(config.adapter)))
    return LanguageModel(model, as_history_tokenizer(grown))


def _check_length(recipe: Recipe, config: Any) -> None:
    """Refuse histories that are longer than the language model reads."""
    positions = getattr(config, "max_position_embeddings", None)
    events = recipe.data.events
    length = recipe.data.max_length * (1 + (events.num_features if events else 0))
    if positions is not None and length > positions:
        raise SeqRecError(
            f"data.max_length={recipe.data.max_length}: takes {length:,} positions, and "
            f"{BACKBONE_KEY} {recipe.model.backbone} reads {positions:,}; lower it"
        )


def tune(model: SeqRecForNextItem, tuning: TuningConfig, num_tokens: int) -> Any:
    """Set which weights of a model over a language model are trained; heads always are.

    Args:
        model: is changed.
        tuning: the ``tuning`` block.
        num_tokens: tokens of the tokenizer; from the first item on, all are new.

    Returns:
        The adapter of the decoder, as a ``peft.PeftModel``; None if it has none.
    """
    new = range(model.config.first_item_token, num_tokens)
    reads_rows = model.config.head == "tied"
    adapter = None
    match tuning:
        case LoraTuning():
            adapter = apply_tuning(model.backbone, tuning, new)
        case FrozenTuning() if reads_rows:
            settings: dict[str, Any] = {"rank": 1, "alpha": 1.0, "target_modules": NO_LAYERS}
            adapter = add_lora(model.backbone, trainable_rows=new, **settings)
        case _:
            apply_tuning(model.backbone, tuning)
    return adapter
