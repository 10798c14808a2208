"""Small model folders of every kind, with random weights."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from seqrec.data.catalog import catalog_fingerprint, write_items
from seqrec.models import SeqRecForReward, SeqRecRewardConfig
from seqrec.models.ensemble import EnsembleConfig
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.tokens.tokenizer import build_tokenizer, tokenizer_fingerprint
from tests.conftest import small_config

ITEM_IDS = [
    *(f"T{item}" for item in range(90)),
    "<pad>",
    "<unk>",
    "<item:T1>",
    "two words",
    "Ö/%",
    "映画",
    "👩‍👩‍👧‍👦",
    " ",
    "item",
    "<",
]
"""100 ids, some of which look like special tokens or like tokens of items."""


def write_folder(folder: Path, model, tokenizer, item_ids=ITEM_IDS) -> Path:
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    items = pl.DataFrame(
        {"item": range(100), "item_id": item_ids}, schema_overrides={"item": pl.UInt32}
    )
    write_items(items, np.arange(100), folder / "items.parquet")
    return folder


def write_next_item(
    folder: Path, block="llama", head="tied", members=1, item_ids=ITEM_IDS, **changes
) -> Path:
    """Write a next-item model; changes of the decoder's settings are recognised by name."""
    tokenizer = build_tokenizer(item_ids)
    config = small_config(
        block,
        head,
        catalog_fingerprint=catalog_fingerprint(item_ids),
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
        **{name: value for name, value in changes.items() if name in small_config().to_dict()},
    )
    for name, value in changes.items():
        if hasattr(config.backbone_config, name):
            setattr(config.backbone_config, name, value)
    if members > 1:
        config.backbone_config = EnsembleConfig(
            member_config=config.backbone_config, num_members=members
        )
    return write_folder(folder, SeqRecForNextItem(config), tokenizer, item_ids)


def write_reward(folder: Path) -> Path:
    tokenizer = build_tokenizer(ITEM_IDS)
    config = SeqRecRewardConfig(
        backbone_config=small_config("llama").backbone_config,
        head="untied",
        intermediate_size=32,
        dropout=0.0,
        num_items=100,
        padded_num_items=128,
        first_item_token=2,
        max_length=16,
        rating_levels=[1.0, 2.5, 4.0],
        num_rating_rows=5,
        liked=4.0,
        catalog_fingerprint=catalog_fingerprint(ITEM_IDS),
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
        num_members=2,
    )
    return write_folder(folder, SeqRecForReward(config), tokenizer)


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_next_item(tmp_path / "model")
