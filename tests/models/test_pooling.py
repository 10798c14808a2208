"""An encoder's own pooling, by arithmetic on its outputs."""

import json

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from seqrec.errors import SeqRecError
from seqrec.models.pooling import Pooling, read_pooling
from seqrec.models.text_encoder import TextEncoder
from seqrec.tokens.tokenizer import build_tokenizer

TEXTS = ["<item:a> <item:b> <item:c>", "<item:d>", "<item:b> <item:d>"]
STATES = torch.tensor([[[1.0, -8], [3, 4], [2, 0]], [[9, 9], [5, -1], [7, 3]]])
RIGHT, LEFT = torch.tensor([[1, 1, 0], [1, 1, 1]]), torch.tensor([[0, 1, 1], [1, 1, 1]])


@pytest.mark.parametrize(
    ("kind", "mask", "expected"),
    [
        ("cls", RIGHT, [[1, -8], [9, 9]]),
        ("cls", LEFT, [[3, 4], [9, 9]]),
        ("lasttoken", RIGHT, [[3, 4], [7, 3]]),
        ("lasttoken", LEFT, [[2, 0], [7, 3]]),
        ("mean", RIGHT, [[2, -2], [7, 11 / 3]]),
        ("max", RIGHT, [[3, 4], [9, 9]]),
    ],
)
def test_a_vector_is_pooled_from_the_tokens_alone(kind, mask, expected):
    found = Pooling((kind,)).pool(STATES, mask, 0)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))


def test_several_kinds_stand_side_by_side_and_a_prompt_may_be_left_out():
    found = Pooling(("cls", "max")).pool(STATES[1:], RIGHT[1:], 0)
    assert found.tolist() == [[9, 9, 9, 9]]
    without = Pooling(("mean",), prompt="query: ", pools_prompt=False)
    assert without.pool(STATES[1:], RIGHT[1:], 1).tolist() == [[6, 1]]


@pytest.fixture
def encoder_folder(tmp_path):
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["a", "b", "c", "d", "query"])
    tokenizer.truncation_side = "right"  # as tokenizers of texts
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=64, intermediate_size=16, max_position_embeddings=16, **sizes)
    BertModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    return tmp_path


def describe(folder, pooling, **files):
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return TextEncoder.from_pretrained(folder)


@pytest.mark.parametrize(
    ("pooling", "pick"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, lambda s: s[0]),
        ({"pooling_mode": "lasttoken"}, lambda s: s[-1]),
        ({"pooling_mode_max_tokens": True}, lambda s: s.amax(dim=0)),
        ({"pooling_mode": "mean"}, lambda s: s.mean(dim=0)),
        ({"pooling_mode": ["cls", "mean"]}, lambda s: torch.cat([s[0], s.mean(dim=0)])),
    ],
)
def test_the_folder_says_how_a_text_becomes_a_vector(encoder_folder, pooling, pick):
    encoder = describe(encoder_folder, pooling)
    found = encoder.encode(TEXTS)
    assert found.shape == (3, encoder.width)
    for vector, text in zip(found, TEXTS, strict=True):
        tokens = encoder.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            expected = pick(encoder.model(**tokens).last_hidden_state[0])
        np.testing.assert_allclose(vector, expected / expected.norm(), atol=1e-5)


def test_the_prompt_that_an_encoder_writes_by_default_and_its_length_are_kept(encoder_folder):
    encoder = describe(
        encoder_folder,
        {"pooling_mode": "mean", "include_prompt": False},
        config_sentence_transformers={
            "prompts": {"query": "<item:query> ", "document": ""},
            "default_prompt_name": "query",
        },
        sentence_bert_config={"max_seq_length": 3},
    )
    assert encoder.pooling == Pooling(("mean",), "<item:query> ", False, 3)
    tokens = encoder.tokenizer("<item:query> <item:a> <item:b>", return_tensors="pt")
    with torch.no_grad():
        states = encoder.model(**tokens).last_hidden_state[0]
    for pooled, first in ((True, 0), (False, 1)):
        object.__setattr__(encoder.pooling, "pools_prompt", pooled)
        expected = states[first:].mean(dim=0)
        np.testing.assert_allclose(
            encoder.encode(["<item:a> <item:b> <item:c>"])[0], expected / expected.norm(), atol=1e-5
        )


def test_pooling_and_steps_that_would_give_other_vectors_are_refused(encoder_folder):
    with pytest.raises(SeqRecError, match="pooling 'weightedmean'.*name another text encoder"):
        describe(encoder_folder, {"pooling_mode_weightedmean_tokens": True})
    steps = [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]
    with pytest.raises(SeqRecError, match="a step Dense"):
        describe(encoder_folder, {"pooling_mode": "mean"}, modules=steps)


def test_an_encoder_without_a_description_is_pooled_by_the_mean(encoder_folder):
    assert read_pooling(encoder_folder) == Pooling(("mean",), "", True, None)
