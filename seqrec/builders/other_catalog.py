"""Models on data whose catalog differs from theirs: items are matched by id."""

import copy
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from seqrec.data.catalog import catalog_fingerprint, with_counts
from seqrec.data.item_mapping import ItemMapping
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models.carried_rows import carry_rows
from seqrec.models.configuration import SeqRecConfig
from seqrec.models.ensemble import EnsembleConfig
from seqrec.models.folder import model_coder
from seqrec.models.growth import pad_size
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.ranking.data_recommender import DataRecommender
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.events.event_tokens import EventTokens
from seqrec.tokens.growth import replace_items
from seqrec.tokens.tokenizer import ItemTokens, get_words, tokenizer_fingerprint


def match_items(
    recommender: Recommender, data: PreparedData, *, lists_data_items: bool
) -> DataRecommender:
    """Return the recommender for histories of the data; see ``open_recommender``.

    Raises:
        SeqRecError: no item is in both catalogs, or the data's items lack a column that the model
            reads.
    """
    items = data.items()
    mapping = ItemMapping.between(recommender.item_ids, items["item_id"].to_list())
    if (mapping.to_model < 0).all():
        raise SeqRecError(
            f"{recommender.name}: trained on another catalog than that of {data.path}, they have "
            "no item in common; name the data that it was trained on, or train on this data"
        )
    events = recommender.events
    if events is not None:
        coder = model_coder(recommender.model.config, items, str(data.path))
        assert coder is not None
        events = events.with_coder(coder)
    matched = DataRecommender(recommender, mapping, events, lists_data_items=lists_data_items)
    matched.notes = _describe_differences(mapping, recommender.name, data, lists_data_items)
    return matched


def _describe_differences(
    mapping: ItemMapping, name: str, data: PreparedData, lists_data_items: bool
) -> list[str]:
    """Return notes on the items that only one of the two catalogs has."""
    notes = mapping.describe(name, str(data.path))
    if mapping.unknown_ids:
        num_rows = int((mapping.to_model[data.histories().items] < 0).sum())
        notes[0] += (
            f"; these are skipped in histories and never recommended ({num_rows:,} interactions)"
        )
    if mapping.missing_ids:
        notes[-1] += "; these are " + (
            "left out of its lists" if lists_data_items else "recommended too"
        )
    return notes


class CarriedModel(NamedTuple):
    """A model over the catalog of data, with its tokenizer."""

    model: SeqRecForNextItem
    tokenizer: PreTrainedTokenizerFast
    mapping: ItemMapping


def carry_over(
    recommender: Recommender, tokenizer: PreTrainedTokenizerFast, data: PreparedData
) -> CarriedModel:
    """Return a recommender's model over the catalog of the data, with new rows for new items.

    The new rows are drawn from a copy of torch's generator. Its transition prior keeps the counts
    of its training.

    Args:
        recommender: the recommender.
        tokenizer: its tokenizer.
        data: the data.
    """
    item_ids = data.items()["item_id"].to_list()
    mapping = ItemMapping.between(recommender.item_ids, item_ids)
    new_tokenizer = replace_items(tokenizer, recommender.item_ids, item_ids)
    vocabulary = tokenizer.get_vocab()
    tokens = [vocabulary.get(word, -1) for word in get_words(new_tokenizer)]
    config = adapt_config(recommender.model.config, new_tokenizer, item_ids)
    with torch.random.fork_rng(devices=[]):
        model = carry_rows(
            recommender.model, torch.from_numpy(mapping.to_model), torch.tensor(tokens), config
        )
    return CarriedModel(model, new_tokenizer, mapping)


def adapt_config(
    config: SeqRecConfig, tokenizer: PreTrainedTokenizerFast, item_ids: list[str]
) -> SeqRecConfig:
    """Return the configuration of the same model over another catalog."""
    adapted = copy.deepcopy(config)
    backbone = adapted.backbone_config
    member = backbone.member_config if isinstance(backbone, EnsembleConfig) else backbone
    member.vocab_size = pad_size(len(tokenizer))  # type: ignore[union-attr]
    member.num_tokens = len(tokenizer)  # type: ignore[union-attr]
    adapted.num_items = len(item_ids)
    adapted.padded_num_items = pad_size(len(item_ids))
    adapted.first_item_token = ItemTokens.of(tokenizer, item_ids).blocks.first_token
    adapted.catalog_fingerprint = catalog_fingerprint(item_ids)
    adapted.tokenizer_fingerprint = tokenizer_fingerprint(tokenizer)
    return adapted


def reorder_items(
    recommender: Recommender, tokenizer: PreTrainedTokenizerFast, data: PreparedData
) -> Recommender:
    """Return a recommender with the same items in the order of the data.

    Raises:
        SeqRecError: one of the catalogs has an item that the other lacks.
    """
    carried = carry_over(recommender, tokenizer, data)
    if not carried.mapping.is_same_set:
        raise SeqRecError(describe_other_catalog(carried.mapping, recommender.name, data))
    items = data.items()
    coder = model_coder(carried.model.config, items, str(data.path))
    tokens = ItemTokens.of(carried.tokenizer, items["item_id"].to_list())
    counts = recommender.items["num_interactions"].to_numpy()[carried.mapping.to_model]
    return Recommender(
        recommender.name,
        carried.model,
        tokens,
        with_counts(items, np.asarray(counts)),
        data.catalog_fingerprint,
        EventTokens.of(carried.tokenizer, tokens, coder) if coder else None,
    )


def describe_other_catalog(mapping: ItemMapping, name: str, data: PreparedData) -> str:
    """Return the message of a model whose items are not those of the data."""
    differences = "; ".join(mapping.describe(name, str(data.path)))
    return (
        f"{name}: trained on another catalog than that of {data.path} ({differences}); name the "
        "data that it was trained on, or continue its training on this data with "
        "model.from_pretrained"
    )
