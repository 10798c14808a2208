"""Growth of language models: old rows and scores, padding, saving, adapters, a second growth."""

import copy

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from seqrec.errors import SeqRecError
from seqrec.models.growth import check_vocabulary, get_num_tokens, grow_vocabulary, pad_size
from seqrec.models.start_rows import mean_rows
from seqrec.tokens.growth import grow_tokenizer
from seqrec.tokens.tokenizer import item_token
from tests.tiny_language_models import byte_tokenizer, tiny_language_model

ITEMS = [item_token(str(number)) for number in range(100)]
FAMILIES = [
    ("llama", True),
    ("llama", False),
    ("gpt2", True),
    ("gemma3", True),
    ("gemma3", False),
]
TEXT = "a film about <item:7> and <item:99>"


def grown_model(family="llama", is_tied=True, words=ITEMS, **changes):
    model = tiny_language_model(family, tie_word_embeddings=is_tied, **changes)
    return model, grow_vocabulary(model, byte_tokenizer(), words)


@pytest.mark.parametrize(("family", "is_tied"), FAMILIES)
def test_old_rows_and_old_scores_stay_and_sizes_are_recorded(family, is_tied):
    model = tiny_language_model(family, tie_word_embeddings=is_tied)
    before = model.get_input_embeddings().weight.detach().clone()
    head = model.get_output_embeddings().weight.detach().clone()
    ids = torch.tensor([byte_tokenizer()("some words")["input_ids"]])
    with torch.no_grad():
        scores = model(ids).logits
    grown = grow_vocabulary(model, byte_tokenizer(), ITEMS)
    assert grown.tokens == range(259, 359) and len(grown.tokenizer) == 359
    assert model.config.vocab_size == 384 == pad_size(359) and model.config.num_tokens == 359
    assert get_num_tokens(model.config) == 359
    table, output = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert (table is output) == is_tied
    assert torch.equal(table[:259], before[:259]) and torch.equal(output[:259], head[:259])
    for rows in (table, output):
        assert not rows[359:].any() and rows[259:359].std() > 0
    with torch.no_grad():
        after = model(ids).logits
    torch.testing.assert_close(after[..., :259], scores[..., :259], atol=1e-6, rtol=0)
    check_vocabulary(model, grown.tokenizer, "the model")


def test_new_rows_are_drawn_at_the_scale_of_the_old_ones():
    words = [item_token(str(number)) for number in range(4000)]
    model = tiny_language_model("llama")
    old = model.get_input_embeddings().weight.detach()[:259].clone()
    old += 3.0
    with torch.no_grad():
        model.get_input_embeddings().weight[:259] = old
    grown = grow_vocabulary(model, byte_tokenizer(), words)
    new = model.get_input_embeddings().weight[grown.tokens.start : grown.tokens.stop]
    torch.testing.assert_close(new.mean(dim=0), old.mean(dim=0), atol=2e-3, rtol=0)
    torch.testing.assert_close(new.std(dim=0), old.std(dim=0), rtol=0.08, atol=0)


@pytest.mark.parametrize("is_tied", [True, False])
def test_rows_from_text_are_the_means_of_its_tokens_in_every_table(is_tied):
    model = tiny_language_model("llama", tie_word_embeddings=is_tied)
    texts = byte_tokenizer()(["alien", "up", ""])["input_ids"]
    grown = grow_vocabulary(model, byte_tokenizer(), ITEMS[:3], mean_rows(texts))
    for module in (model.get_input_embeddings(), model.get_output_embeddings()):
        table = module.weight.detach().double().numpy()
        for token, text in zip(grown.tokens, texts, strict=True):
            expected = table[text or list(range(259))].mean(axis=0)
            torch.testing.assert_close(table[token], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("family", "is_tied"), FAMILIES[1:])
def test_a_saved_model_loads_anywhere_and_never_generates_padding(family, is_tied, tmp_path):
    model, grown = grown_model(family, is_tied)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    grown.tokenizer.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, trust_remote_code=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
    check_vocabulary(loaded, tokenizer, "the folder")
    inputs = tokenizer(TEXT, return_tensors="pt")
    assert {266, 358} <= set(inputs["input_ids"][0].tolist())
    with torch.no_grad():
        assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
        loaded.get_output_embeddings().weight[359:] = 100 * torch.randn(25, 32)
        for is_saved in (True, False):
            if not is_saved:
                loaded.generation_config.suppress_tokens = None
            words = loaded.generate(
                **inputs, do_sample=True, temperature=5.0, max_new_tokens=20, pad_token_id=0
            )
            assert (words.max() < 359) == is_saved


def test_a_second_growth_keeps_the_first_and_its_padding_becomes_words(tmp_path):
    model, grown = grown_model()
    first = model.get_input_embeddings().weight.detach().clone()
    second = grow_vocabulary(model, grown.tokenizer, [*ITEMS[50:], "<genre:comedy>", "<item:new>"])
    assert second.tokens == range(359, 361) and model.config.num_tokens == 361
    table = model.get_input_embeddings().weight
    assert len(table) == 384 and torch.equal(table[:359], first[:359])
    assert model.generation_config.suppress_tokens == list(range(361, 384))
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, trust_remote_code=False)
    assert again.config.num_tokens == 361
    assert again.generation_config.suppress_tokens == list(range(361, 384))


def test_bfloat16_weights_keep_their_type_and_old_rows():
    model = tiny_language_model("llama").to(torch.bfloat16)
    before = model.get_input_embeddings().weight.detach().clone()
    grow_vocabulary(model, byte_tokenizer(), ITEMS)
    table = model.get_input_embeddings().weight
    assert table.dtype == torch.bfloat16 and torch.equal(table[:259], before[:259])


@pytest.mark.parametrize("is_tied", [True, False])
def test_adapters_train_the_new_rows_alone_and_merge(is_tied, tmp_path):
    model, grown = grown_model(is_tied=is_tied)
    before = model.get_input_embeddings().weight.detach().clone()
    names = ["embed_tokens"] if is_tied else ["embed_tokens", "lm_head"]
    settings = peft.LoraConfig(
        r=4,
        target_modules=["q_proj", "v_proj"],
        trainable_token_indices={name: list(grown.tokens) for name in names},
    )
    adapted = peft.get_peft_model(model, settings)
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=1.0)
    ids = grown.tokenizer(TEXT, return_tensors="pt")["input_ids"]
    for _ in range(2):
        adapted(ids, labels=ids).loss.backward()
        optimizer.step()
    adapted.eval()
    expected = adapted(ids).logits
    merged = adapted.merge_and_unload()
    torch.testing.assert_close(merged(ids).logits, expected, atol=1e-4, rtol=1e-4)
    table = merged.get_input_embeddings().weight
    assert torch.equal(table[:259], before[:259]) and not torch.equal(table[266], before[266])
    merged.save_pretrained(tmp_path)
    grown.tokenizer.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, trust_remote_code=False)
    check_vocabulary(loaded, grown.tokenizer, "the merged model")
    assert grow_vocabulary(loaded, grown.tokenizer, ["<item:new>"]).tokens == range(359, 360)


def test_a_model_with_adapters_is_refused():
    model, grown = grown_model()
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_proj"]))
    with pytest.raises(SeqRecError, match="merge them"):
        grow_vocabulary(adapted, grown.tokenizer, ["<x>"])


def test_a_vocabulary_that_was_grown_on_one_side_only_is_refused():
    model, grown = grown_model()
    alone = grow_tokenizer(grown.tokenizer, ["<x>"]).tokenizer
    with pytest.raises(SeqRecError, match="360 tokens and its weights 384 rows, 359 of them real"):
        check_vocabulary(model, alone, "the model")
    many = grow_tokenizer(byte_tokenizer(), ITEMS).tokenizer
    with pytest.raises(SeqRecError, match="grown on one side only"):
        grow_vocabulary(tiny_language_model("llama"), many, ["<x>"])
    model = tiny_language_model("llama", tie_word_embeddings=False)
    model.set_input_embeddings(torch.nn.Embedding(384, 32))
    with pytest.raises(SeqRecError, match="320 and 384 rows"):
        check_vocabulary(model, byte_tokenizer(), "the model")


def test_a_special_token_of_no_use_needs_no_row_and_is_never_generated():
    """Gemma 3 for text alone has a token for images behind the rows of its tables."""
    words = [f"<w{number}>" for number in range(320 - len(byte_tokenizer()))]
    tokenizer = grow_tokenizer(byte_tokenizer(), words).tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image_soft_token>"]})
    model = tiny_language_model("gemma3")
    old = model.get_input_embeddings().weight.detach().clone()
    assert (len(tokenizer), len(old)) == (321, 320)
    check_vocabulary(model, tokenizer, "the model")
    for role in ({"pad_token": "<image_soft_token>"}, {}):
        other = copy.deepcopy(tokenizer)
        other.add_special_tokens(role)
        other.chat_template = None if role else "{{ '<image_soft_token>' }}"
        with pytest.raises(SeqRecError, match="grown on one side only"):
            check_vocabulary(model, other, "the model")
    grown = grow_vocabulary(model, tokenizer, ITEMS)
    assert grown.tokens == range(321, 321 + len(ITEMS))
    assert torch.equal(model.get_input_embeddings().weight[:320], old)
    suppressed = model.generation_config.suppress_tokens
    assert suppressed == [320, *range(321 + len(ITEMS), 448)]
    again = grow_vocabulary(model, grown.tokenizer, ["<x>"])
    assert again.tokens == range(421, 422) and 320 in model.generation_config.suppress_tokens
