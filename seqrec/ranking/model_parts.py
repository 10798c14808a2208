"""The parts of a model folder that belong together: model, tokens, items, events."""

from pathlib import Path
from typing import Any, NamedTuple

from seqrec.data.catalog import catalog_fingerprint, read_model_items
from seqrec.errors import SeqRecError
from seqrec.models.folder import ITEMS_FILE, load_model, model_coder
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.tokenizer import ItemTokens, load_tokenizer, tokenizer_fingerprint


class ModelParts(NamedTuple):
    """Parts of a model folder that recommending needs."""

    model: SeqRecForNextItem
    tokens: ItemTokens
    items: Any
    catalog_fingerprint: str
    events: EventTokens | None


def read_parts(folder: Path) -> ModelParts:
    """Return the parts of a model folder.

    Raises:
        SeqRecError: a file is missing or broken, or items, tokenizer and weights do not belong
            together.
    """
    model = load_model(folder)
    items = read_model_items(folder / ITEMS_FILE)
    item_ids = items["item_id"].to_list()
    fingerprint = catalog_fingerprint(item_ids)
    if fingerprint != model.config.catalog_fingerprint:
        raise SeqRecError(f"{folder / ITEMS_FILE}: not the catalog of the model's training")
    tokenizer = load_tokenizer(folder)
    if tokenizer_fingerprint(tokenizer) != model.config.tokenizer_fingerprint:
        raise SeqRecError(f"{folder}: not the tokenizer that the model was trained with")
    tokens = ItemTokens.of(tokenizer, item_ids)
    if tokens.blocks != model.config.item_blocks:
        raise SeqRecError(
            f"{folder}: config.json has {model.config.item_blocks}, its tokenizer "
            f"{tokens.blocks}; copy the whole folder of one model"
        )
    coder = model_coder(model.config, items, str(folder / ITEMS_FILE))
    events = EventTokens.of(tokenizer, tokens, coder) if coder else None
    return ModelParts(model, tokens, items, fingerprint, events)
