"""From recipe fields to objects: everything below gets built things and plain arguments."""

from functools import partial
from typing import Any

from torch import nn

from seqrec.config.load import Recipe
from seqrec.config.model import ModelConfig
from seqrec.config.objective import SFTConfig
from seqrec.losses.catalog import catalog_cross_entropy
from seqrec.models import SeqRecConfig, SeqRecDecoderConfig, SeqRecForNextItem
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.training.module import Objective
from seqrec.training.optimizers import adamw, linear_warmup
from seqrec.training.sft import sft_loss

PADDING_MULTIPLE = 64
NORM_EPS = 1e-6
ROPE_THETA = 10_000.0


def padded(size: int) -> int:
    """The next multiple of 64: the number of rows that matrix products like."""
    return -(-size // PADDING_MULTIPLE) * PADDING_MULTIPLE


def build_model(
    config: ModelConfig,
    tokens: ItemTokens,
    *,
    vocab_size: int,
    max_length: int,
    catalog_fingerprint: str,
    tokenizer_fingerprint: str,
) -> SeqRecForNextItem:
    """A model with random weights, drawn from torch's generator."""
    backbone = SeqRecDecoderConfig(
        block=config.block,
        vocab_size=padded(vocab_size),
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        max_position_embeddings=max_length,
        dropout=config.dropout,
        initializer_range=config.initializer_range,
        norm_eps=NORM_EPS,
        rope_theta=ROPE_THETA if config.block == "llama" else None,
        pad_token_id=tokens.pad_token_id,
    )
    return SeqRecForNextItem(
        SeqRecConfig(
            backbone_config=backbone,
            head=config.head,
            num_items=tokens.num_items,
            padded_num_items=padded(tokens.num_items),
            first_item_token=tokens.first_item_token,
            max_length=max_length,
            catalog_fingerprint=catalog_fingerprint,
            tokenizer_fingerprint=tokenizer_fingerprint,
        )
    )


def build_objective(config: SFTConfig) -> Objective:
    """The loss of a batch under a model."""
    return partial(sft_loss, loss=partial(catalog_cross_entropy, chunk_size=config.loss.chunk_size))


def build_optimizers(recipe: Recipe, model: nn.Module) -> dict[str, Any]:
    """Optimizer and schedule, as Lightning takes them."""
    trainer = recipe.trainer
    optimizer = adamw(model, learning_rate=trainer.learning_rate, weight_decay=trainer.weight_decay)
    schedule = linear_warmup(optimizer, warmup_steps=trainer.warmup_steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
