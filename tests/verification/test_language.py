"""Language models of transformers' families: with a catalog head on top, and by themselves."""

from copy import copy

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

import seqrec
from seqrec.models import encoder
from seqrec.models.growth import grow_vocabulary
from seqrec.verification import language
from tests.verification.conftest import write_next_item

SIZES = {
    "vocab_size": 384,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
FAMILIES = {
    "llama": LlamaConfig(**SIZES),
    "llama, shared keys": LlamaConfig(**SIZES, num_key_value_heads=2),
    "mistral": MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=8),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=8),
    "gemma3": Gemma3TextConfig(**SIZES, num_key_value_heads=1, head_dim=8, sliding_window=8),
    "gpt2": GPT2Config(
        vocab_size=384,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=64,
        bos_token_id=1,
        eos_token_id=1,
    ),
}
LLAMA = "states against Llama"


def by_result(result):
    found = {}
    for one in result["properties"]:
        found.setdefault(one["result"], {})[one["property"]] = one
    return found


@pytest.fixture(scope="module")
def tokenizer():
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|pad|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator(["the thing from another world", "the the thing"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<|pad|>", eos_token="<|end|>"
    )


def write_language_model(folder, config, tokenizer, *, grown=()):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    if grown:
        tokenizer, _ = grow_vocabulary(model, tokenizer, list(grown))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_catalog_head_on_any_decoder_has_the_properties(family, tmp_path):
    config = copy(FAMILIES[family])
    if getattr(config, "sliding_window", None):
        config.sliding_window = SIZES["max_position_embeddings"]
    folder = write_next_item(tmp_path / "model", backbone_config=config)
    found = by_result(seqrec.verify(folder, histories=40))
    assert set(found) <= {"passed", "does not apply"}, found.get("failed")
    assert set(found.get("does not apply", {})) == (set() if family == "llama" else {LLAMA})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_language_model_has_those_that_need_no_catalog(family, tmp_path, tokenizer):
    folder = write_language_model(tmp_path / "model", FAMILIES[family], tokenizer)
    found = by_result(seqrec.verify(folder, histories=40))
    assert set(found) == {"passed", "does not apply"}, found.get("failed")
    absent = {"fingerprints", "tokens of histories", "item index"}
    if family == "gpt2":
        assert set(found["does not apply"]) >= absent | {LLAMA}
    else:
        assert set(found["does not apply"]) == absent | (set() if family == "llama" else {LLAMA})
    assert {"tokens of texts", "cached decoding", "side of the padding"} <= set(found["passed"])


def test_generated_padding_is_found(tmp_path, tokenizer):
    grown = [f"<item:{number}>" for number in range(3)]
    folder = write_language_model(tmp_path / "model", FAMILIES["llama"], tokenizer, grown=grown)
    assert seqrec.verify(folder, histories=20)["passed"]
    settings = folder / "generation_config.json"
    settings.write_text(settings.read_text().replace("suppress_tokens", "ignored_tokens"))
    failed = by_result(seqrec.verify(folder, histories=20))["failed"]
    assert set(failed) == {"rows of padding"}
    assert "answers outside" in failed["rows of padding"]["note"]


def test_texts_that_read_their_neighbours_are_found(tmp_path, tokenizer, monkeypatch):

    own = language.flatten_documents

    def joined(documents, model):
        return own((documents > 0).long(), model)

    folder = write_language_model(tmp_path / "model", FAMILIES["qwen3"], tokenizer)
    monkeypatch.setattr(language, "flatten_documents", joined)
    assert set(by_result(seqrec.verify(folder, histories=20))["failed"]) == {"packed rows"}


def test_bounds_grow_with_depth_and_a_neighbour_that_is_read_stays_far_beyond_them(
    tmp_path, tokenizer, monkeypatch
):
    config = copy(FAMILIES["llama"])
    config.num_hidden_layers = 24
    folder = write_next_item(tmp_path / "deep", backbone_config=config)
    found = by_result(seqrec.verify(folder, histories=40))
    assert "failed" not in found, found["failed"]
    packed, rounded = found["passed"]["packed rows"], found["passed"]["bfloat16"]
    assert packed["bound"] == pytest.approx(21e-5)
    assert rounded["bound"] == pytest.approx(0.03 * 21**0.5)
    assert packed["note"].startswith("8 histories")
    own = encoder.flatten_documents

    def joined(documents, model):
        return own((documents > 0).long(), model)

    monkeypatch.setattr(encoder, "flatten_documents", joined)
    failed = by_result(seqrec.verify(folder, histories=40))["failed"]
    assert failed["packed rows"]["deviation"] > 100 * failed["packed rows"]["bound"]
