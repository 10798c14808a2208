"""Build a reward model with initial weights from a recipe and rated data."""

from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from seqrec.builders.model import decoder_config
from seqrec.builders.reward_data import RewardData
from seqrec.config.recipe import Recipe
from seqrec.evaluation.rating_baselines import RatedLog
from seqrec.models import SeqRecForReward, SeqRecRewardConfig
from seqrec.models.growth import pad_size
from seqrec.models.initial import rating_vectors
from seqrec.models.reward import RewardMember
from seqrec.tokens.streams.ratings import FIRST_LEVEL
from seqrec.tokens.tokenizer import ItemTokens, tokenizer_fingerprint


def build_reward_model(
    recipe: Recipe,
    tokens: ItemTokens,
    tokenizer: PreTrainedTokenizerFast,
    data: RewardData,
    catalog_fingerprint: str,
) -> SeqRecForReward:
    """Build a reward model with random weights, drawn from torch's generator.

    The items' biases come from the training answers, and so do their vectors if the recipe sets
    ``model.initial_vectors`` to ratings.
    """
    config, max_length = recipe.model, recipe.data.max_length
    decoder = decoder_config(config, tokens, vocab_size=len(tokenizer), max_length=max_length)
    model = SeqRecForReward(
        SeqRecRewardConfig(
            backbone_config=decoder,
            head=config.head,  # type: ignore[arg-type]
            intermediate_size=config.intermediate_size,
            dropout=config.dropout,
            num_items=tokens.num_items,
            padded_num_items=pad_size(tokens.num_items),
            first_item_token=tokens.blocks.first_token,
            max_length=max_length,
            rating_levels=data.levels,
            num_rating_rows=FIRST_LEVEL + len(data.levels),
            liked=data.liked,
            catalog_fingerprint=catalog_fingerprint,
            tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
            num_members=config.num_members,
        )
    )
    with torch.no_grad():
        for member in model.members():
            member.head.item_bias.copy_(torch.from_numpy(data.item_bias))
            if config.initial_vectors == "ratings":
                _set_vectors(member, data.rated, tokens, decoder.initializer_range)
    return model


def _set_vectors(member: RewardMember, rated: RatedLog, tokens: ItemTokens, std: float) -> None:
    """Set the vectors of rated items from their ratings."""
    first, num_items = tokens.blocks.first_token, tokens.num_items
    embedding: Any = member.backbone.get_input_embeddings()
    tables = [embedding.weight[first : first + num_items]]
    tables += [table.weight[:num_items] for table in member.items.tables]
    is_rated = torch.from_numpy(np.unique(rated.items))
    for table in tables:
        vectors = rating_vectors(rated.items, rated.users, rated.ratings, num_items, table.shape[1])
        table[is_rated] = std * vectors[is_rated]
