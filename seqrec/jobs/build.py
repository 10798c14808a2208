"""From recipe fields to objects: everything below gets built things and plain arguments."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from seqrec.config.load import Recipe
from seqrec.config.model import ContentConfig, MemoryConfig, ModelConfig
from seqrec.config.objective import (
    CrossEntropyConfig,
    GBCEConfig,
    LossConfig,
    PreferenceLossConfig,
    SampledConfig,
    SampledSoftmaxConfig,
    SFTConfig,
)
from seqrec.data.catalog import item_texts
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN
from seqrec.data.transitions import Transitions, count_transitions
from seqrec.losses.catalog import IGNORE_INDEX, catalog_cross_entropy
from seqrec.losses.negatives import NegativeSampler
from seqrec.losses.sampled import binary_cross_entropy, gbce, sampled_softmax
from seqrec.models import SeqRecConfig, SeqRecDecoderConfig, SeqRecForNextItem
from seqrec.models.content import ContentEmbedding
from seqrec.models.text_encoder import TextEncoder
from seqrec.tokens.stream import PackedStream
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.tokens.windows import training_windows
from seqrec.training.module import Objective
from seqrec.training.optimizers import adamw, warmup_and_decay
from seqrec.training.sft import SampledLoss, sampled_sft_loss, sft_loss

PADDING_MULTIPLE = 64
NORM_EPS = 1e-6
ROPE_THETA = 10_000.0


class Knowledge(NamedTuple):
    """What a model is told about the catalog and the log before it learns."""

    content: Float[np.ndarray, "I F"] | None
    transitions: Transitions | None
    item_counts: Int[np.ndarray, " I"]
    """Training interactions of every item."""


def padded(size: int) -> int:
    """The next multiple of 64: the number of rows that matrix products like."""
    return -(-size // PADDING_MULTIPLE) * PADDING_MULTIPLE


def build_model(
    config: ModelConfig,
    tokens: ItemTokens,
    knowledge: Knowledge | None = None,
    *,
    vocab_size: int,
    max_length: int,
    catalog_fingerprint: str,
    tokenizer_fingerprint: str,
) -> SeqRecForNextItem:
    """A model with random weights, drawn from torch's generator, that holds some knowledge."""
    backbone = SeqRecDecoderConfig(
        block=config.block,
        vocab_size=padded(vocab_size),
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        max_position_embeddings=max_length,
        dropout=config.dropout,
        item_dropout=config.item_dropout,
        relative_bias=config.relative_bias,
        gated_residual=config.gated_residual,
        initializer_range=config.initializer_range,
        norm_eps=NORM_EPS,
        rope_theta=ROPE_THETA if config.block == "llama" else None,
        pad_token_id=tokens.pad_token_id,
    )
    knowledge = knowledge or Knowledge(None, None, np.zeros(tokens.num_items, np.int64))
    memory = content = None
    if config.content is not None and knowledge.content is not None:
        content_width = knowledge.content.shape[1]
        content = {"content_width": content_width, "row_dropout": config.content.row_dropout}
    if config.memory is not None and knowledge.transitions is not None:
        memory = config.memory.model_dump(exclude={"max_edges"})
        memory["num_edges"] = len(knowledge.transitions.target)
        memory["strength"] = config.memory.strength or 0.0
    model = SeqRecForNextItem(
        SeqRecConfig(
            backbone_config=backbone,
            head=config.head,
            cosine_scale=config.cosine_scale,
            num_items=tokens.num_items,
            padded_num_items=padded(tokens.num_items),
            first_item_token=tokens.first_item_token,
            max_length=max_length,
            catalog_fingerprint=catalog_fingerprint,
            tokenizer_fingerprint=tokenizer_fingerprint,
            content=content,
            memory=memory,
        )
    )
    item_counts = torch.from_numpy(knowledge.item_counts)
    embedding = model.get_input_embeddings()
    if isinstance(embedding, ContentEmbedding) and knowledge.content is not None:
        embedding.hold(torch.from_numpy(knowledge.content), item_counts)
    if model.memory is not None and knowledge.transitions is not None:
        model.memory.hold(*map(torch.from_numpy, knowledge.transitions), item_counts)
    return model


def build_knowledge(
    config: ModelConfig, prepared: PreparedData, item_counts: Int[np.ndarray, " I"]
) -> Knowledge:
    """What the model's settings ask for."""
    content = build_content(config.content, prepared) if config.content else None
    transitions = build_transitions(config.memory, prepared) if config.memory else None
    return Knowledge(content, transitions, item_counts)


def build_content(config: ContentConfig, prepared: PreparedData) -> Float[np.ndarray, "I F"]:
    """The vector of every item's text.

    Raises:
        SeqRecError: a column that the items lack, or no such encoder.
    """
    texts = item_texts(prepared.items(), config.columns, "model.content.columns")
    return TextEncoder.from_pretrained(config.encoder).encode(texts)


def build_transitions(config: MemoryConfig, prepared: PreparedData) -> Transitions:
    """What a transition memory holds, counted in one pass over the training part."""
    blocks = prepared.blocks()
    return count_transitions(
        (blocks.read([block]) for block in range(len(blocks))),
        prepared.num_items,
        max_steps=config.max_steps,
        step_decay=config.step_decay,
        max_edges=config.max_edges,
    )


def build_stream(
    recipe: Recipe, prepared: PreparedData, tokens: ItemTokens, rank: int
) -> PackedStream:
    """The packed training batches of one of the run's processes."""
    assert isinstance(recipe.objective, SFTConfig)
    data, weight = recipe.data, recipe.objective.weight
    return PackedStream(
        prepared.blocks([weight] if weight else []),
        tokens,
        partial(
            training_windows, max_length=data.max_length, which=data.windows, stride=data.stride
        ),
        weight=weight,
        row_length=data.max_length,
        batch_size=data.batch_size,
        pool_rows=data.pool_rows,
        ignore_index=IGNORE_INDEX,
        seed=recipe.trainer.seed,
        rank=rank,
        num_ranks=recipe.trainer.devices,
    )


def build_objective(config: SFTConfig, item_counts: Int[np.ndarray, " I"]) -> Objective:
    """The loss of a batch under a model."""
    settings = config.loss
    if isinstance(settings, CrossEntropyConfig):
        loss = partial(catalog_cross_entropy, chunk_size=settings.chunk_size)
        targets = {"num_targets": config.num_targets, "target_decay": config.target_decay}
        return partial(sft_loss, loss=loss, **targets)
    sampler = NegativeSampler(
        num_negatives=settings.num_negatives,
        distribution=settings.negatives,
        item_counts=torch.from_numpy(item_counts),
        power=settings.power,
        in_batch_share=settings.in_batch_share,
    )
    return partial(
        sampled_sft_loss, loss=build_sampled_loss(settings, len(item_counts)), sampler=sampler
    )


def build_sampled_loss(settings: SampledConfig, num_items: int) -> SampledLoss:
    """The loss of targets against negatives."""
    match settings:
        case SampledSoftmaxConfig():
            return partial(sampled_softmax, log_q=settings.log_q)
        case GBCEConfig():
            return partial(gbce, num_items=num_items, t=settings.t)
        case _:
            return binary_cross_entropy


def count_items(prepared: PreparedData) -> Int[np.ndarray, " I"]:
    """Training interactions of every item."""
    blocks, counts = prepared.blocks(), np.zeros(prepared.num_items, dtype=np.int64)
    for block in range(len(blocks)):
        histories = blocks.read([block])
        in_training = histories.items[histories.split == TRAIN]
        counts += np.bincount(in_training, minlength=prepared.num_items)
    return counts


def is_sparse(settings: LossConfig | PreferenceLossConfig) -> bool:
    """Whether a step touches only the rows that it used."""
    return isinstance(settings, SampledConfig) and settings.sparse


def num_scored(settings: LossConfig | PreferenceLossConfig, num_items: int) -> int:
    """Items that a target is scored against, itself among them."""
    return settings.num_negatives + 1 if isinstance(settings, SampledConfig) else num_items


def build_optimizers(recipe: Recipe, steps_per_epoch: int, model: nn.Module) -> dict[str, Any]:
    """Optimizer and schedule, as Lightning takes them."""
    trainer = recipe.trainer
    optimizer = adamw(model, learning_rate=trainer.learning_rate, weight_decay=trainer.weight_decay)
    schedule = warmup_and_decay(
        optimizer,
        schedule=trainer.schedule,
        warmup_steps=trainer.warmup_steps,
        total_steps=steps_per_epoch * trainer.max_epochs,
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
