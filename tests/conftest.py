"""Fixtures of the whole suite: one thread per process, a seeded generator, a small model."""

import os
import signal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from seqrec.data.catalog import catalog_fingerprint, write_items
from seqrec.models import SeqRecConfig, SeqRecDecoderConfig, SeqRecForNextItem
from seqrec.tokens.tokenizer import build_tokenizer, tokenizer_fingerprint
from tests.forked import forked_ranks  # noqa: F401 (a fixture of the whole suite)

# Workers and the processes that tests start share the cores: each computes in one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture
def generator() -> np.random.Generator:
    """A generator seeded with 0."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Seed torch before each test."""
    torch.manual_seed(0)


def small_config(block: str = "llama", head: str = "tied", **changes) -> SeqRecConfig:
    """The configuration of a model of 100 items, 32 wide, 2 blocks, without dropout."""
    backbone = {
        "block": block,
        "vocab_size": 128,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "dropout": 0.0,
        "item_dropout": 0.0,
        "relative_bias": False,
        "gated_residual": False,
        "initializer_range": 0.1,
        "norm_eps": 1e-6,
        "rope_theta": 10_000.0 if block == "llama" else None,
        "pad_token_id": 0,
    }
    fields = {
        "backbone_config": SeqRecDecoderConfig(**backbone),
        "head": head,
        "causal": True,
        "cosine_scale": None,
        "num_items": 100,
        "padded_num_items": 128,
        "first_item_token": 2,
        "max_length": 16,
        "catalog_fingerprint": "catalog",
        "tokenizer_fingerprint": "tokenizer",
        "content": None,
        "transition_prior": None,
    }
    return SeqRecConfig(**(fields | changes))


@pytest.fixture(params=["sasrec", "llama"])
def small_model(request: pytest.FixtureRequest) -> SeqRecForNextItem:
    """A model of each block with random weights, in evaluation mode."""
    return SeqRecForNextItem(small_config(request.param)).eval()


def save_small_model(folder: Path, item_ids: list[str] | None = None) -> Path:
    """Write a model folder of 100 items t0 .. t99 with random weights; item i occurs i times."""
    item_ids = item_ids or [f"t{item}" for item in range(100)]
    tokenizer = build_tokenizer(item_ids)
    config = small_config(
        catalog_fingerprint=catalog_fingerprint(item_ids),
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
    )
    SeqRecForNextItem(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    items = pl.DataFrame(
        {"item": range(100), "item_id": item_ids}, schema_overrides={"item": pl.UInt32}
    )
    write_items(items, np.arange(100), folder / "items.parquet")
    return folder


@pytest.fixture
def default_signals():
    """Signals act as in a terminal: a test run that ignores SIGHUP (nohup) hands that on."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


ENDING = (signal.SIGTERM, signal.SIGHUP)
