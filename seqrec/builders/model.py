"""Builds models, their initial data and optimizers from recipe fields."""

import logging
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from seqrec.config.model import ContentConfig, ModelConfig
from seqrec.config.recipe import Recipe
from seqrec.config.text_recipe import TextRecipe
from seqrec.config.transition_prior import TransitionPriorConfig
from seqrec.data.item_columns import item_texts
from seqrec.data.prepared import PreparedData
from seqrec.data.transitions import Transitions, count_transitions
from seqrec.models import SeqRecConfig, SeqRecDecoderConfig, SeqRecForNextItem
from seqrec.models.content import ContentEmbedding
from seqrec.models.ensemble import EnsembleConfig, EnsembleDecoder
from seqrec.models.growth import pad_size
from seqrec.models.initial import association_vectors
from seqrec.models.text_encoder import TextEncoder
from seqrec.models.transition_prior.kinds import build_transition_prior
from seqrec.tokens.events.grammar import Grammar
from seqrec.tokens.item_blocks import event_block_size
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.training.optimizers import adamw, warmup_and_decay

logger = logging.getLogger(__name__)

NORM_EPS = 1e-6
NEIGHBOUR_WEIGHTS = tuple(0.8**step for step in range(10))
"""Weights, by distance, of the neighbours that initial vectors are factorised from."""
ROPE_THETA = 10_000.0


class InitialData(NamedTuple):
    """Data of catalog and log that initialise a model."""

    content: Float[np.ndarray, "I F"] | None
    transitions: Transitions | None
    """Transition counts of the transition prior."""
    neighbours: Transitions | None
    """Neighbour counts that initial vectors are factorised from."""
    item_counts: Int[np.ndarray, " I"]
    """Number of training interactions of every item."""


def build_model(
    config: ModelConfig,
    tokens: ItemTokens,
    initial: InitialData | None = None,
    *,
    vocab_size: int,
    max_length: int,
    catalog_fingerprint: str,
    tokenizer_fingerprint: str,
    grammar: Grammar | None = None,
    language_model: PreTrainedModel | None = None,
) -> SeqRecForNextItem:
    """Return a model with random weights from torch's generator and its initial data.

    Args:
        config: the ``model`` block.
        tokens: of the items.
        initial: data of catalog and log.
        vocab_size: tokens of the tokenizer.
        max_length: items or events of a history.
        catalog_fingerprint: of the items.
        tokenizer_fingerprint: of the tokenizer.
        grammar: of the events; None: items only.
        language_model: whose decoder is used; it has the tokens. None: a native decoder.
    """
    num_features = len(grammar.features) if grammar else 0
    is_spread = config.event_vectors == "each"
    block_size = event_block_size(tokens.block_size, num_features) if is_spread else 1
    backbone: PreTrainedConfig = decoder_config(
        config, tokens, vocab_size=vocab_size, max_length=max_length * block_size
    )
    if config.num_members > 1:
        backbone = EnsembleConfig(member_config=backbone, num_members=config.num_members)
    if language_model is not None:
        backbone = language_model.base_model.config  # type: ignore[assignment]
    initial = initial or InitialData(None, None, None, np.zeros(tokens.num_items, np.int64))
    transition_prior = content = None
    if config.content is not None and initial.content is not None:
        content = {"content_width": initial.content.shape[1]}
    if config.transition_prior is not None and initial.transitions is not None:
        transition_prior = prior_settings(
            config.transition_prior, num_edges=len(initial.transitions.target)
        )
    model_config = SeqRecConfig(
        backbone_config=backbone,
        head=config.head,
        causal=config.causal,
        cosine_scale=config.cosine_scale,
        num_items=tokens.num_items,
        padded_num_items=pad_size(tokens.num_items),
        first_item_token=tokens.blocks.first_token,
        max_length=max_length,
        catalog_fingerprint=catalog_fingerprint,
        tokenizer_fingerprint=tokenizer_fingerprint,
        content=content,
        transition_prior=transition_prior,
        events=grammar.to_dict() if grammar and grammar.features else None,
        event_vectors=config.event_vectors,
        head_size=config.head_size,
        word_head=config.word_head,
    )
    if language_model is None:
        model = SeqRecForNextItem(model_config)
    else:
        model = SeqRecForNextItem.over(model_config, language_model)
    item_counts = torch.from_numpy(initial.item_counts)
    embedding = model.get_input_embeddings()
    if initial.neighbours is not None:
        rows: Any = embedding.weight
        is_new = language_model is None
        std = config.initializer_range if is_new else float(rows.detach().std())
        load_start_vectors(model, tokens, initial.neighbours, std)
    if isinstance(embedding, ContentEmbedding) and initial.content is not None:
        embedding.load_content(torch.from_numpy(initial.content), item_counts)
    if model.transition_prior is not None and initial.transitions is not None:
        model.transition_prior.load_transitions(
            *map(torch.from_numpy, initial.transitions), item_counts
        )  # type: ignore[call-arg]
    return model


def decoder_config(
    config: ModelConfig, tokens: ItemTokens, *, vocab_size: int, max_length: int
) -> SeqRecDecoderConfig:
    """Return the native decoder's configuration from the recipe."""
    return SeqRecDecoderConfig(
        block=config.block,
        vocab_size=pad_size(vocab_size),
        num_tokens=vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        max_position_embeddings=max_length,
        dropout=config.dropout,
        item_dropout=config.item_dropout,
        relative_bias=config.relative_bias,
        time_bias=config.time_bias,
        gated_residual=config.gated_residual,
        initializer_range=config.initializer_range,
        norm_eps=NORM_EPS,
        rope_theta=ROPE_THETA if config.block == "llama" else None,
        pad_token_id=tokens.pad_token_id,
    )


def build_initial_data(
    config: ModelConfig, prepared: PreparedData, item_counts: Int[np.ndarray, " I"]
) -> InitialData:
    """Return the initial data that the model's recipe needs."""
    content = build_content(config.content, prepared) if config.content else None
    transitions = neighbours = None
    if config.transition_prior is not None:
        settings = prior_settings(config.transition_prior, num_edges=0)
        empty = build_transition_prior(prepared.num_items, settings)
        transitions = build_transitions(
            prepared, empty.distance_weights, config.transition_prior.max_edges
        )
    if config.initial_vectors == "associations":
        neighbours = build_transitions(prepared, NEIGHBOUR_WEIGHTS, None)
    return InitialData(content, transitions, neighbours, item_counts)


def load_start_vectors(
    model: SeqRecForNextItem, tokens: ItemTokens, neighbours: Transitions, std: float
) -> None:
    """Set item vectors factorised from neighbours; every member has its own random rotation."""
    is_ensemble = isinstance(model.backbone, EnsembleDecoder)
    decoders = model.backbone.decoders() if is_ensemble else [model]
    first = tokens.blocks.first_token
    embeddings: list[Any] = [decoder.get_input_embeddings() for decoder in decoders]
    tables = [table.weight[first : first + tokens.num_items] for table in embeddings]
    tables += [table.weight[: tokens.num_items] for table in model.head.tables]
    edges = neighbours.first_edge, neighbours.target, neighbours.weight
    with torch.no_grad():
        for table in tables:
            table.copy_(std * association_vectors(*edges, table.shape[1]))


def build_content(
    config: ContentConfig, prepared: PreparedData, items: Int[np.ndarray, " I"] | None = None
) -> Float[np.ndarray, "I F"]:
    """Return the vector of every item's text, or of the texts of some items.

    Raises:
        SeqRecError: the items lack a column, or the encoder does not exist.
    """
    texts = item_texts(prepared.items(), config.columns, "model.content.columns")
    if items is not None:
        texts = [texts[item] for item in items]
    return TextEncoder.from_pretrained(config.encoder).encode(texts)


def prior_settings(config: TransitionPriorConfig, *, num_edges: int) -> dict[str, Any]:
    """Return the arguments of a transition prior, whose strength may be chosen later."""
    settings = config.model_dump(exclude={"max_edges"})
    return {**settings, "num_edges": num_edges, "strength": config.strength or 0.0}


def recount_transitions(
    model: SeqRecForNextItem,
    prepared: PreparedData,
    item_counts: Int[torch.Tensor, " I"],
    max_edges: int | None,
) -> None:
    """Give a model's transition prior the counts of the training part of some data."""
    old = model.transition_prior
    assert old is not None and model.config.transition_prior is not None
    transitions = build_transitions(prepared, old.distance_weights, max_edges)
    settings = {**model.config.transition_prior, "num_edges": len(transitions.target)}
    prior = build_transition_prior(len(item_counts), settings)
    prior.load_transitions(*map(torch.from_numpy, transitions), item_counts)  # type: ignore[call-arg]
    model.transition_prior, model.config.transition_prior = prior, settings


def build_transitions(
    prepared: PreparedData, distance_weights: Sequence[float], max_edges: int | None
) -> Transitions:
    """Return transition counts from one pass over the training part."""
    blocks = prepared.blocks()
    return count_transitions(
        (blocks.read([block]) for block in range(len(blocks))),
        prepared.num_items,
        distance_weights=distance_weights,
        max_edges=max_edges,
    )


def count_items(prepared: PreparedData) -> Int[np.ndarray, " I"]:
    """Return the number of training interactions of every item."""
    blocks, counts = prepared.blocks(), np.zeros(prepared.num_items, dtype=np.int64)
    for block in range(len(blocks)):
        counts += blocks.read([block]).item_counts(prepared.num_items)
    return counts


def build_optimizers(
    recipe: Recipe | TextRecipe, num_batches: int, model: nn.Module
) -> dict[str, Any]:
    """Return optimizer and schedule in the format of Lightning."""
    trainer = recipe.trainer
    total_steps = math.ceil(num_batches / trainer.accumulate_batches) * trainer.max_epochs
    if trainer.warmup_steps > total_steps:
        logger.warning(
            "trainer.warmup_steps=%d: longer than the run of %d steps, which ends below "
            "trainer.learning_rate",
            trainer.warmup_steps,
            total_steps,
        )
    optimizer = adamw(model, learning_rate=trainer.learning_rate, weight_decay=trainer.weight_decay)
    schedule = warmup_and_decay(
        optimizer,
        schedule=trainer.schedule,
        warmup_steps=trainer.warmup_steps,
        total_steps=total_steps,
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
