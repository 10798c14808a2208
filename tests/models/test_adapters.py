"""Adapters: what they compute by hand, and that they survive saving, loading and merging."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from seqrec.errors import SeqRecError
from seqrec.models.adapters import (
    add_lora,
    is_adapter,
    load_adapter,
    merge_adapter,
    read_facts,
    reset_adapter,
    save_adapter,
    weights_fingerprint,
)

NEW_ROWS = [60, 61, 62, 63]


def tiny_llama(seed=0, *, tied=True, width=32):
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=width,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=tied,
            initializer_range=0.2,
        )
    ).eval()


def tiny_gpt2():
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    ).eval()


def train(model, steps=3):
    """A few steps of plain gradient descent on random tokens and the new ones."""
    tokens = torch.cat([torch.tensor([NEW_ROWS]), torch.randint(64, (1, 9))], dim=1)
    for _ in range(steps):
        model(input_ids=tokens, labels=tokens).loss.backward()
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.data -= 0.5 * parameter.grad
                parameter.grad = None


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(48, 64)[None]).logits


@pytest.mark.parametrize("build", [tiny_llama, tiny_gpt2])
def test_a_new_adapter_changes_nothing_and_a_trained_one_adds_its_product(build):
    model, plain = build(), build()
    before = logits(model)
    adapted = add_lora(model, rank=4, alpha=8)
    assert torch.equal(logits(adapted), before)
    train(adapted)
    after = logits(adapted)
    assert (after - before).abs().max() > 1e-3
    with torch.no_grad():
        for name, module in adapted.base_model.model.named_modules():
            if hasattr(module, "lora_A"):
                update = 8 / 4 * module.lora_B["default"].weight @ module.lora_A["default"].weight
                weight = plain.get_submodule(name).weight
                weight += update.T if build is tiny_gpt2 else update
    torch.testing.assert_close(logits(plain), after, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_only_updates_and_new_rows_are_trained(tied):
    model = tiny_llama(tied=tied)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    adapted = add_lora(model, rank=4, alpha=8, trainable_rows=NEW_ROWS)
    train(adapted)
    trained = logits(adapted)
    merged = merge_adapter(adapted)
    torch.testing.assert_close(logits(merged), trained, rtol=1e-4, atol=1e-5)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weight = merged.state_dict()[name]
        assert torch.equal(weight[:60], before[name][:60])
        assert (weight[NEW_ROWS] != before[name][NEW_ROWS]).any(dim=1).all()
    assert (merged.lm_head.weight is merged.model.embed_tokens.weight) == tied
    assert torch.equal(merged.model.norm.weight, before["model.norm.weight"])


def test_an_adapter_is_saved_alone_and_loads_on_its_base(tmp_path):
    adapted = add_lora(tiny_llama(), rank=4, alpha=8, trainable_rows=NEW_ROWS)
    train(adapted)
    save_adapter(adapted, tmp_path / "adapter")
    assert is_adapter(tmp_path / "adapter") and not is_adapter(tmp_path)
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert all("lora_" in name or "trainable_tokens" in name for name in saved)
    again = load_adapter(tiny_llama(), tmp_path / "adapter", is_trainable=True)
    assert torch.equal(logits(again), logits(adapted))
    train(again)
    assert not torch.equal(logits(again), logits(adapted))


def test_a_base_whose_replaced_rows_differ_is_the_same_base(tmp_path):
    adapted = add_lora(tiny_llama(), rank=4, alpha=8, trainable_rows=NEW_ROWS)
    train(adapted)
    save_adapter(adapted, tmp_path, {"catalog_fingerprint": "of these items"})
    assert read_facts(tmp_path)["catalog_fingerprint"] == "of these items"
    for row, is_same in ((NEW_ROWS[0], True), (NEW_ROWS[0] - 1, False)):
        base = tiny_llama()
        with torch.no_grad():
            base.get_input_embeddings().weight[row] = 3.0
        if is_same:
            assert torch.equal(logits(load_adapter(base, tmp_path)), logits(adapted))
            continue
        with pytest.raises(SeqRecError, match="an adapter of another base"):
            load_adapter(base, tmp_path)


def test_an_adapter_can_go_back_to_its_start():
    adapted = add_lora(tiny_llama(), rank=4, alpha=8, trainable_rows=NEW_ROWS)
    train(adapted)
    assert not torch.equal(logits(adapted), logits(tiny_llama()))
    reset_adapter(adapted)
    assert torch.equal(logits(adapted), logits(tiny_llama()))


def test_a_fingerprint_is_of_the_weights_below_the_adapter_in_any_precision():
    model = tiny_llama()
    fingerprint = weights_fingerprint(model)
    assert weights_fingerprint(tiny_llama().bfloat16()) == fingerprint
    assert weights_fingerprint(tiny_llama(seed=1)) != fingerprint
    adapted = add_lora(model, rank=4, alpha=8, trainable_rows=NEW_ROWS)
    train(adapted)
    assert weights_fingerprint(adapted) == fingerprint
    assert weights_fingerprint(merge_adapter(adapted)) != fingerprint


def test_an_adapter_of_another_base_is_refused_in_one_line(tmp_path):
    adapted = add_lora(tiny_llama(), rank=4, alpha=8)
    save_adapter(adapted, tmp_path)
    for other in (tiny_llama(seed=1), tiny_llama(width=64), tiny_gpt2()):
        with pytest.raises(SeqRecError, match="an adapter of another base"):
            load_adapter(other, tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    save_file(load_file(file), file)  # as other tools write it, without a fingerprint
    assert torch.equal(logits(load_adapter(tiny_llama(), tmp_path)), logits(adapted))
    for other in (tiny_llama(width=64), tiny_gpt2()):
        with pytest.raises(SeqRecError, match="an adapter of another base"):
            load_adapter(other, tmp_path)


def test_what_is_no_safe_adapter_is_refused(tmp_path):
    with pytest.raises(SeqRecError, match="name a folder with an adapter"):
        load_adapter(tiny_llama(), tmp_path)
    save_adapter(add_lora(tiny_llama(), rank=4, alpha=8), tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SeqRecError, match="broken or cut short"):
        load_adapter(tiny_llama(), tmp_path)
    file.rename(tmp_path / "adapter_model.bin")
    with pytest.raises(SeqRecError, match="pickled"):
        load_adapter(tiny_llama(), tmp_path)
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**settings, "peft_type": "IA3"}))
    with pytest.raises(SeqRecError, match="no plain LoRA"):
        load_adapter(tiny_llama(), tmp_path)


def test_layers_that_the_model_lacks_and_a_missing_package_are_one_line(monkeypatch):
    with pytest.raises(SeqRecError, match="tuning.target_modules: .*c_attn"):
        add_lora(tiny_llama(), rank=4, alpha=8, target_modules=["c_attn"])
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(SeqRecError, match=r"pip install 'seqrec\[language\]'"):
        add_lora(tiny_llama(), rank=4, alpha=8)
