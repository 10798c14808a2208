"""Language models as decoders of histories: tokens, heads, adapters and folders."""

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

import seqrec
from seqrec.builders.language import open_backbone, tune
from seqrec.builders.model import build_model
from seqrec.config.load import load_recipe
from seqrec.data.catalog import catalog_fingerprint
from seqrec.errors import SeqRecError
from seqrec.models.plain_weights import plain_weights
from seqrec.objectives.model_folder import write_model_folder
from seqrec.tokens.tokenizer import ItemTokens, history_text, tokenizer_fingerprint
from tests.families import FAMILIES, save_tiny

ITEM_IDS = [f"t {n}🙂" for n in range(30)]
ITEMS = pl.DataFrame(
    {
        "item": range(30),
        "item_id": ITEM_IDS,
        "title": [f"Toy Story {n}" for n in range(30)],
    },
    schema_overrides={"item": pl.UInt32},
)
CATALOG = catalog_fingerprint(ITEM_IDS)


def build(folder, *settings):
    """A model over the language model of a folder, its tokenizer, and the adapter."""
    recipe = load_recipe("sft", [f"model.backbone={folder}", "data.max_length=12", *settings])
    language_model, tokenizer = open_backbone(recipe, ITEMS, (), CATALOG)
    tokens = ItemTokens.of(tokenizer, ITEM_IDS)
    model = build_model(
        recipe.model,
        tokens,
        vocab_size=len(tokenizer),
        max_length=12,
        catalog_fingerprint=CATALOG,
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
        language_model=language_model,
    )
    adapter = tune(model, recipe.model.tuning, len(tokenizer))
    return model, tokenizer, adapter


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


HEADS = {"tied": (), "untied": (), "projected": ("model.head_size=8",)}


@pytest.mark.parametrize("head", HEADS)
def test_a_saved_model_answers_as_before(tmp_path, family, head):
    base = save_tiny(tmp_path / "base", family)
    model, tokenizer, _ = build(base, f"model.head={head}", *HEADS[head])
    model.eval()
    write_model_folder(tmp_path / "model", model, tokenizer, ITEMS, np.ones(30, dtype=np.int64))
    recommender = seqrec.Recommender.from_pretrained(tmp_path / "model")
    tokens = torch.from_numpy(recommender.tokens.encode(np.array([[3, 1, 29]]))).flatten(1)
    expected = model(input_ids=tokens).logits
    plain = AutoModel.from_pretrained(tmp_path / "model", trust_remote_code=False).eval()
    for again in (recommender.model, plain):
        for name, weight in model.state_dict().items():
            assert torch.equal(again.state_dict()[name], weight), name
        torch.testing.assert_close(again(input_ids=tokens).logits, expected)
    assert model.item_weight().shape == (30, 8 if head == "projected" else 32)
    assert recommender.item_vectors().shape[1] == recommender.width
    words = AutoTokenizer.from_pretrained(tmp_path / "model", trust_remote_code=False)
    text = history_text([ITEM_IDS[3], ITEM_IDS[1], ITEM_IDS[29]])
    assert words(text, add_special_tokens=False)["input_ids"] == tokens[0].tolist()
    assert None not in (words.pad_token_id, words.unk_token_id)


def test_packed_histories_have_the_states_of_their_own_rows(tmp_path, family):
    model, _, _ = build(save_tiny(tmp_path, family))
    model.eval()
    first = model.config.first_item_token
    rows = torch.randint(first, first + 30, (1, 12))
    documents = torch.tensor([[1] * 5 + [2] * 4 + [0] * 3])
    packed = model.hidden_states(rows, documents)
    alone = model.hidden_states(rows[:, 5:9])
    torch.testing.assert_close(packed[:, 5:9], alone, atol=1e-5, rtol=1e-4)
    assert not packed[:, 9:].any()
    ends = model.document_states(rows, documents)
    torch.testing.assert_close(ends, packed[0, [4, 8]])


@torch.no_grad()
def test_branches_that_share_a_row_have_the_states_of_their_own_rows(tmp_path, family):
    """Two continuations of one history, under a mask; longer than the windows of some families."""
    model, _, _ = build(save_tiny(tmp_path, family))
    model.eval()
    first = model.config.first_item_token
    history, one, other = (torch.randint(first, first + 30, (n,)) for n in (10, 2, 2))
    owner = torch.tensor([0] * 10 + [1] * 2 + [2] * 2)
    reads = torch.ones(14, 14, dtype=torch.bool).tril()
    reads &= (owner == 0) | (owner == owner[:, None])
    positions = torch.tensor([*range(10), 10, 11, 10, 11])
    row = torch.cat([history, one, other])[None]
    found = model.states_under(row, reads[None], positions[None], torch.tensor([[9, 11, 13]]))[0]
    for state, branch in zip(found, (history[:0], one, other), strict=True):
        alone = model.hidden_states(torch.cat([history, branch])[None])[0, -1]
        torch.testing.assert_close(state, alone, atol=1e-5, rtol=1e-4)


def step(model):
    """One step of the optimizer on the cross-entropy of random histories."""
    first = model.config.first_item_token
    tokens = torch.randint(first, first + 30, (4, 12))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1.0)
    model.train()(input_ids=tokens, labels=tokens).loss.backward()
    optimizer.step()
    model.zero_grad()
    return model.eval()


@pytest.mark.parametrize(
    ("name", "head"), [("lora", "tied"), ("frozen", "tied"), ("lora", "untied")]
)
def test_old_rows_and_frozen_weights_stay_and_new_rows_are_trained(tmp_path, family, name, head):
    base = save_tiny(tmp_path, family)
    settings = [f"model.tuning.name={name}", f"model.head={head}", "trainer.precision=float32"]
    model, _, adapter = build(base, *settings)
    before = plain_weights(model, model.state_dict())
    before = {key: weight.clone() for key, weight in before.items()}
    step(model)
    after = plain_weights(model, model.state_dict())
    first = model.config.first_item_token
    (table,) = [key for key in before if before[key].shape == (64 * 6, 32)]
    assert torch.equal(after[table][:first], before[table][:first])
    assert not torch.equal(after[table][first : first + 30], before[table][first : first + 30])
    changed = {key for key in before if not torch.equal(after[key], before[key])}
    assert (len(changed) > 3) == (name == "lora")
    tokens = torch.randint(first, first + 30, (2, 6))
    expected = model(input_ids=tokens).logits
    adapter.merge_and_unload()
    assert after.keys() == model.state_dict().keys()
    for key, weight in model.state_dict().items():
        torch.testing.assert_close(after[key], weight)
    torch.testing.assert_close(model(input_ids=tokens).logits, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("head", HEADS)
def test_frozen_weights_in_bfloat16_have_updates_and_scores_in_float32(tmp_path, family, head):
    settings = ("model.tuning.name=lora", "trainer.precision=bfloat16", f"model.head={head}")
    model, _, _ = build(save_tiny(tmp_path, family), *settings, *HEADS[head])
    dtypes = {weight.requires_grad: set() for weight in model.parameters()}
    for weight in model.parameters():
        dtypes[weight.requires_grad].add(weight.dtype)
    assert dtypes == {True: {torch.float32}, False: {torch.bfloat16}}
    before = plain_weights(model, model.state_dict())
    output = step(model)(input_ids=torch.full((1, 3), model.config.first_item_token))
    assert output.logits.dtype == torch.float32
    after = plain_weights(model, model.state_dict())
    assert {weight.dtype for weight in after.values()} == {torch.float32}
    first = model.config.first_item_token
    (table,) = [key for key in before if before[key].shape == (64 * 6, 32)]
    rows = after[table][first : first + 30]
    assert not torch.equal(rows, before[table][first : first + 30])
    assert head != "tied" or not torch.equal(rows, rows.bfloat16().float())


def test_a_frozen_decoder_under_a_head_of_its_own_trains_the_head_alone(tmp_path):
    model, _, adapter = build(
        save_tiny(tmp_path), "model.tuning.name=frozen", "model.head=projected", "model.head_size=8"
    )
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert adapter is None and trained == {"head.project.weight", "head.table.weight"}


def test_a_row_starts_from_the_words_of_its_title(tmp_path):
    base = save_tiny(tmp_path)
    model, tokenizer, _ = build(base, "model.initial_vectors=text")
    table = model.get_input_embeddings().weight
    words = tokenizer("Toy Story 7", add_special_tokens=False)["input_ids"]
    assert len(words) > 1
    torch.testing.assert_close(model.item_weight()[7], table[words].mean(dim=0))


@pytest.mark.parametrize("family", ["smollm", "llama"])
def test_the_word_head_is_kept_when_it_is_asked_for(tmp_path, family):
    base = save_tiny(tmp_path, family)
    model, _, _ = build(base, "model.word_head=true")
    is_tied = family == "smollm"
    assert (model.word_head is None) == is_tied
    assert len(model.word_weight()) == model.config.backbone_config.vocab_size
    without, _, _ = build(base)
    with pytest.raises(ValueError, match="answers with items alone"):
        without.word_weight()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["model.backbone=b", "model.hidden_size=128"], "hidden_size goes with decoders of seqrec"),
        (["model.backbone=b", "model.causal=false"], "causal goes with decoders of seqrec"),
        (["model.backbone=b", "model.content={}"], "content goes with decoders of seqrec"),
        (["model.backbone=b", "model.from_pretrained=run"], "backbone starts a new model"),
        (["model.backbone=b", "model.head=projected"], "projected and head_size go together"),
        (["model.head_size=8"], "projected and head_size go together"),
        (["model.tuning.name=lora"], "tuning goes with model.backbone"),
        (["model.word_head=true"], "word_head goes with model.backbone"),
        (["model.initial_vectors=text"], "initial_vectors text goes with model.backbone"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_by_name(settings, reason):
    with pytest.raises(SeqRecError, match=reason):
        load_recipe("sft", settings)


def test_histories_longer_than_the_model_reads_are_refused(tmp_path):
    recipe = load_recipe("sft", [f"model.backbone={save_tiny(tmp_path)}", "data.max_length=3000"])
    with pytest.raises(SeqRecError, match="takes 3,000 positions, and model.backbone .* 2,048"):
        open_backbone(recipe, ITEMS, (), CATALOG)


def test_items_start_from_their_words_or_from_the_vectors_of_another_model(tmp_path, monkeypatch):
    base = save_tiny(tmp_path / "base", "llama")
    words, tokenizer, _ = build(base, "model.initial_vectors=text")
    first = words.config.first_item_token
    table = words.get_input_embeddings().weight
    tokens = tokenizer("Toy Story 7", add_special_tokens=False)["input_ids"]
    torch.testing.assert_close(table[first + 7], table[tokens].mean(dim=0))

    class Other:
        item_ids = ITEM_IDS[::-1]

        def item_vectors(self):
            return (table[first : first + 30].detach().numpy()[::-1] * 3 + 1).copy()

    monkeypatch.setattr(
        "seqrec.builders.start_rows.Recommender.from_pretrained", lambda folder: Other()
    )
    settings = ("model.initial_vectors=model", "model.initial_vectors_of=other")
    mapped = build(base, *settings)[0].get_input_embeddings().weight
    torch.testing.assert_close(
        mapped[first : first + 30], table[first : first + 30], atol=1e-4, rtol=1e-3
    )
    with pytest.raises(SeqRecError, match="initial_vectors_of go together"):
        build(base, "model.initial_vectors=model")
