"""The tokenizer: one token an item, the same by both paths, whatever the ids hold."""

import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from seqrec.errors import SeqRecError
from seqrec.tokens.tokenizer import (
    SPECIAL_TOKENS,
    ItemTokens,
    build_tokenizer,
    decode_item_token,
    history_text,
    item_token,
    tokenizer_fingerprint,
)

ODD_IDS = [
    "318",
    "a b",
    " 318",
    '"quoted"',
    "🎬",
    "<pad>",
    "<unk>",
    "<item:318>",
    "%20",
    "a\nb",
    "123456789012345678901234567890",
    "\u00e9",
    "e\u0301",
]
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(st.lists(ids, min_size=1, max_size=20, unique=True))
def test_item_tokens_are_injective_and_read_back(item_ids):
    tokens = [item_token(item_id) for item_id in item_ids]
    assert len(set(tokens)) == len(item_ids)
    assert [decode_item_token(token) for token in tokens] == item_ids
    assert not any(token in SPECIAL_TOKENS or len(token.split()) != 1 for token in tokens)


@settings(max_examples=30, deadline=None)
@given(st.lists(ids, min_size=1, max_size=20, unique=True), st.data())
def test_arrays_and_text_give_the_same_tokens(item_ids, data):
    tokenizer = build_tokenizer(item_ids)
    tokens = ItemTokens.of(tokenizer, item_ids)
    item_of = {item_id: item for item, item_id in enumerate(item_ids)}
    history = data.draw(st.lists(st.one_of(st.sampled_from(item_ids), ids), max_size=15))
    items = np.array([item_of.get(item_id, -1) for item_id in history], dtype=np.int64)
    assert tokenizer(history_text(history))["input_ids"] == tokens.encode(items).flatten().tolist()


def test_a_saved_tokenizer_is_read_by_auto_tokenizer_without_seqrec(tmp_path):
    tokenizer = build_tokenizer(ODD_IDS)
    tokenizer.save_pretrained(tmp_path)
    history = [*ODD_IDS, "unknown", "<pad>"]
    script = (
        "import json, sys; from transformers import AutoTokenizer\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "assert 'seqrec' not in sys.modules\n"
        "print(json.dumps(tokenizer(sys.argv[2])['input_ids']))"
    )
    command = [sys.executable, "-c", script, str(tmp_path), history_text(history)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = [len(SPECIAL_TOKENS) + i for i in range(len(ODD_IDS))]
    expected += [tokenizer.unk_token_id, len(SPECIAL_TOKENS) + ODD_IDS.index("<pad>")]
    assert found.strip() == str(expected)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer_fingerprint(loaded) == tokenizer_fingerprint(tokenizer)


def test_special_tokens_come_first_and_items_in_catalog_order():
    tokenizer = build_tokenizer(["b", "a"])
    assert tokenizer.convert_ids_to_tokens(range(4)) == [*SPECIAL_TOKENS, "<item:b>", "<item:a>"]
    assert tokenizer.pad_token_id == 0 and tokenizer.unk_token_id == 1


def test_the_fingerprint_changes_with_the_order_of_items():
    prints = {tokenizer_fingerprint(build_tokenizer(list(order))) for order in ("abc", "acb", "ab")}
    assert len(prints) == 3


def test_an_id_twice_and_a_foreign_catalog_are_refused():
    with pytest.raises(SeqRecError, match="twice"):
        build_tokenizer(["a", "b", "a"])
    with pytest.raises(SeqRecError, match="same model folder"):
        ItemTokens.of(build_tokenizer(["a", "b", "c"]), ["a", "c"])


@pytest.mark.slow
def test_a_million_items_are_built_saved_and_loaded_in_time(tmp_path):
    item_ids = [f"title {i}" for i in range(1_000_000)]
    started = time.perf_counter()
    tokenizer = build_tokenizer(item_ids)
    tokenizer.save_pretrained(tmp_path)
    built = time.perf_counter() - started
    started = time.perf_counter()
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    took = time.perf_counter() - started
    assert built < 30 and took < 15
    assert loaded(history_text(["title 999999"]))["input_ids"] == [1_000_001]
